// The statistics of benchmark/stats/, for the seeds or folds that the reader chooses.
// A test compares every number with Python's.

const ALPHA = 0.05;
const BASELINE = "baseline";
const MIN_SEEDS = 3;
const WORDS = { better: "better", worse: "worse", same: "the same", unknown: "cannot tell" };

const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);
const mean = (numbers) => sum(numbers) / numbers.length;

/** The sample variance, with n - 1 in the denominator. */
function variance(numbers) {
  const center = mean(numbers);
  return sum(numbers.map((x) => (x - center) ** 2)) / (numbers.length - 1);
}

// Student's t ------------------------------------------------------------------------

/** The logarithm of the gamma function, by Lanczos' approximation. */
function logGamma(x) {
  const c = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
    -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
    1.5056327351493116e-7,
  ];
  let series = c[0];
  for (let i = 1; i < 9; i++) series += c[i] / (x - 1 + i);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(series);
}

/** The regularized incomplete beta function, by Lentz' continued fraction. */
function incompleteBeta(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x),
  );
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny);
  let fraction = d;
  for (let m = 1; m < 10000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d || tiny);
    c = 1 + even / c || tiny;
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d || tiny);
    c = 1 + odd / c || tiny;
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return (front * fraction) / a;
}

/** How likely a normal variable is above x, for x >= 0. */
function normalTail(x) {
  if (x > 3) {
    let fraction = x;
    for (let k = 200; k > 0; k--) fraction = x + k / fraction;
    return Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI) / fraction;
  }
  let term = x;
  let series = x;
  for (let k = 1; k < 200; k++) {
    term *= (x * x) / (2 * k + 1);
    series += term;
  }
  return 0.5 - (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
}

/** How likely Student's t is below x. With many degrees of freedom, it is normal. */
function tCdf(x, df) {
  const tail =
    df > 1e7 ? normalTail(Math.abs(x)) : incompleteBeta(df / (df + x * x), df / 2, 0.5) / 2;
  return x > 0 ? 1 - tail : tail;
}

/** The number that Student's t is below with probability p, by bisection. */
function tQuantile(p, df) {
  if (p < 0.5) return -tQuantile(1 - p, df);
  let low = 0;
  let high = 1;
  // In terms of the upper tail, which keeps its precision if p is close to 1.
  const above = (x) => tCdf(-x, df) > 1 - p;
  while (above(high)) high *= 2;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (above(middle)) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

// Estimates --------------------------------------------------------------------------

/** The total of a variance: see Variance in uncertainty.py. */
function total(v) {
  return Math.max(v.images + Math.max(sum(v.seeds), sum(v.least)), 1 / v.nImages ** 2);
}

/** Its degrees of freedom, by Satterthwaite and Welch. */
function degreesOfFreedom(v) {
  const spread = sum(v.seeds.map((part, i) => part ** 2 / ((v.nFolds || v.nSeeds[i]) - 1)));
  return spread ? total(v) ** 2 / spread : Infinity;
}

function interval(estimate, level = 1 - ALPHA) {
  const half =
    tQuantile((1 + level) / 2, degreesOfFreedom(estimate.variance)) *
    Math.sqrt(total(estimate.variance));
  return [estimate.mean - half, estimate.mean + half];
}

function pValue(estimate) {
  const error = Math.sqrt(total(estimate.variance));
  return 2 * tCdf(-Math.abs(estimate.mean) / error, degreesOfFreedom(estimate.variance));
}

/** What does not depend on the other net of a pair. correct: one row of 0 and 1 per seed. */
function scoredNet(correct) {
  const nSeeds = correct.length;
  const nImages = correct[0].length;
  const imageMeans = Array.from({ length: nImages }, (_, i) =>
    mean(correct.map((seed) => seed[i])),
  );
  const overall = mean(imageMeans);
  const effects = correct.map((seed) => mean(seed) - overall);
  let residual = 0;
  correct.forEach((seed, s) => {
    for (let i = 0; i < nImages; i++) {
      residual += (seed[i] - imageMeans[i] - effects[s]) ** 2;
    }
  });
  const df = nSeeds - 1;
  return {
    imageMeans,
    seeds: sum(effects.map((e) => e * e)) / df / nSeeds,
    residual: residual / (df * (nImages - 1)) / (nSeeds * nImages),
    nSeeds,
  };
}

/** Estimate the mean of numbers, one for each image, that come from these nets. */
function crossedEstimate(images, nets) {
  const overImages = variance(images) / images.length;
  const residual = sum(nets.map((net) => net.residual));
  const limit = residual ? Math.min(1, overImages / residual) : 0;
  return {
    mean: mean(images),
    variance: {
      images: Math.max(overImages - residual, 0),
      seeds: nets.map((net) => net.seeds),
      least: nets.map((net) => net.residual * limit),
      nSeeds: nets.map((net) => net.nSeeds),
      nImages: images.length,
      nFolds: 0,
    },
  };
}

/** Estimate the mean of numbers, one for each image, from variances over folds. */
function foldEstimate(images, variances, nFolds) {
  const overImages = variance(images) / images.length;
  return {
    mean: mean(images),
    variance: {
      images: 0,
      seeds: variances.map((v) => v / nFolds),
      least: variances.map(() => overImages / variances.length),
      nSeeds: variances.map(() => nFolds),
      nImages: images.length,
      nFolds,
    },
  };
}

/** Each net's variance over folds, beside the other nets (Shukla 1972): see folds.py. */
function interactionVariances(means) {
  const n = means.length;
  if (n < 3) return null;
  const nFolds = means[0].length;
  const foldMeans = means[0].map((_, k) => mean(means.map((net) => net[k])));
  const overall = mean(foldMeans);
  const squares = means.map((net) => {
    const own = mean(net);
    return sum(net.map((x, k) => (x - own - foldMeans[k] + overall) ** 2));
  });
  const all = sum(squares);
  return squares.map((s) =>
    Math.max((n * (n - 1) * s - all) / ((n - 1) * (n - 2) * (nFolds - 1)), 0),
  );
}

// Verdicts ---------------------------------------------------------------------------

/** Judge pairs that are one family. pairs: objects with names and an estimate. */
function judgeFamily(pairs, margin) {
  const order = pairs.map((pair, i) => i);
  const p = pairs.map((pair) => pValue(pair.estimate));
  order.sort((a, b) => p[a] - p[b] || a - b);
  const m = pairs.length;
  let adjusted = 0;
  let nRejected = 0;
  order.forEach((i, rank) => {
    adjusted = Math.max(adjusted, Math.min(1, p[i] * (m - rank)));
    pairs[i].p = adjusted;
    if (adjusted < ALPHA) nRejected = rank + 1;
  });
  order.forEach((i, rank) => {
    pairs[i].alpha = ALPHA / (m - Math.min(rank, nRejected, m - 1));
    Object.assign(pairs[i], wordOf(pairs[i], margin));
  });
}

/** The word of a pair, and the interval on which it rests: see verdicts.py. */
function wordOf({ estimate, p, alpha }, margin) {
  if (p < ALPHA) {
    const word = estimate.mean > 0 ? WORDS.better : WORDS.worse;
    return { word, interval: interval(estimate, 1 - alpha) };
  }
  const [low, high] = interval(estimate, 1 - 2 * ALPHA);
  if (-margin < low && high < margin) {
    return { word: WORDS.same, interval: [Math.min(low, 0), Math.max(high, 0)] };
  }
  return { word: WORDS.unknown, interval: interval(estimate, 1 - alpha) };
}

/** The same verdict, seen from the second net. */
function reversed(pair) {
  const opposite = { better: WORDS.worse, worse: WORDS.better };
  return {
    ...pair,
    first: pair.second,
    second: pair.first,
    estimate: { ...pair.estimate, mean: -pair.estimate.mean },
    word: opposite[pair.word] ?? pair.word,
    interval: [-pair.interval[1], -pair.interval[0]],
  };
}

/**
 * Judge a family of rows with some of its seeds or folds.
 *
 * family: see family() in __init__.py. parts: the numbers of the chosen seeds or folds.
 * Returns the nets, best first, with accuracy and interval, and the verdicts on all pairs.
 */
function judge(family, parts, margin) {
  const nets = family.nets.map((net) => ({ ...net, ...accuracyOf(net, family, parts) }));
  nets.sort((a, b) => b.accuracy - a.accuracy);
  const enough = parts.length >= MIN_SEEDS;
  const pairs = [];
  const difference = enough && (family.folds ? differenceInFolds(nets) : differenceOfScored);
  for (let a = 0; enough && a < nets.length; a++) {
    for (let b = a + 1; b < nets.length; b++) {
      const estimate = difference(nets[a], nets[b]);
      pairs.push({ first: nets[a].name, second: nets[b].name, estimate });
    }
  }
  const hasBaseline = (pair) => pair.first === BASELINE || pair.second === BASELINE;
  judgeFamily(pairs.filter(hasBaseline), margin);
  judgeFamily(pairs.filter((pair) => !hasBaseline(pair)), margin);
  return { nets, pairs };
}

/** Estimate how much more accurate one net is, if all seeds were tested on all images. */
function differenceOfScored(one, other) {
  const images = one.images.map((x, i) => x - other.images[i]);
  return crossedEstimate(images, [one.scored, other.scored]);
}

/** Return a function that does so for nets in folds. */
function differenceInFolds(nets) {
  const variances = interactionVariances(nets.map((net) => net.means));
  return (one, other) => {
    const images = one.images.map((x, i) => x - other.images[i]);
    // With two nets, only their difference can be estimated.
    const own = variances
      ? [one, other].map((net) => variances[nets.indexOf(net)])
      : [variance(one.means.map((x, k) => x - other.means[k]))];
    return foldEstimate(images, own, one.means.length);
  };
}

/** A net's accuracy and its interval, with these seeds or folds. */
function accuracyOf(net, family, parts) {
  if (family.folds) {
    const images = parts.flatMap((k) => net.correct[k]);
    const means = parts.map((k) => mean(net.correct[k]));
    const estimate = parts.length > 2 && foldEstimate(images, [variance(means)], parts.length);
    return { accuracy: mean(images), images, means, ...limits(estimate) };
  }
  const seeds = parts.map((s) => net.correct[s]);
  const means = seeds.map(mean);
  if (parts.length < 2) return { accuracy: mean(means), means };
  const scored = scoredNet(seeds);
  const estimate = crossedEstimate(scored.imageMeans, [scored]);
  return { accuracy: mean(means), means, images: scored.imageMeans, scored, ...limits(estimate) };
}

function limits(estimate) {
  if (!estimate) return {};
  const [low, high] = interval(estimate);
  return { low: Math.max(0, low), high: Math.min(1, high) };
}

// Text -------------------------------------------------------------------------------

/** A difference of accuracies in points: .012 as 1.2. Halves are rounded up. */
function formatPoints(share, digits = 1) {
  const text = (Math.abs(share) * 100 + 1e-9).toFixed(digits);
  return share < 0 && Number(text) ? `−${text}` : text;
}

const formatPercent = (share) => `${(100 * share + 1e-9).toFixed(1)}%`;

/** A limit of an interval, with enough digits to stay on its side of the bound. */
function formatLimit(limit, bound) {
  for (let digits = 1; digits < 4; digits++) {
    const text = formatPoints(limit, digits);
    const shown = Number(text.replace("−", ""));
    if (Math.abs(limit) > bound ? shown > 100 * bound : shown < 100 * bound) return text;
  }
  return formatPoints(limit, 4);
}

const isDifference = (pair) => pair.word === WORDS.better || pair.word === WORDS.worse;

/** The verdict as text, as in the tables. */
function formatVerdict(pair, margin) {
  const [low, high] = pair.word === WORDS.worse ? reversed(pair).interval : pair.interval;
  const bound = isDifference(pair) ? 0 : margin;
  const by = isDifference(pair)
    ? ` by ${formatPoints(Math.abs(pair.estimate.mean))} points`
    : "";
  return `${pair.word}${by} (${formatLimit(low, bound)} to ${formatLimit(high, bound)})`;
}
