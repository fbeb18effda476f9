// "How many seeds would I need?": the chance to find a difference, for two nets.

const POWER = 0.8;
const MAX_SEEDS = 1e6;
const SHOWN_SEEDS = [3, 5, 10, 20, 50];
const EXPERIMENTS = 20;

/**
 * The chance that a test at alpha finds this true difference: see planning.py.
 *
 * That is the upper tail of the noncentral t distribution, integrated over the possible
 * estimates s of the standard error, in multiples of the true one (Simpson's rule).
 */
function chanceToDiffer(difference, v, alpha) {
  const shift = Math.abs(difference) / Math.sqrt(total(v));
  const df = degreesOfFreedom(v);
  const critical = tQuantile(1 - alpha / 2, df);
  const normalCdf = (x) => (x < 0 ? normalTail(-x) : 1 - normalTail(x));
  if (df > 1e5) return normalCdf(shift - critical);
  const logScale = Math.LN2 + (df / 2) * Math.log(df / 2) - logGamma(df / 2);
  const density = (s) =>
    s === 0
      ? df > 1 ? 0 : Math.exp(logScale)
      : Math.exp(logScale + (df - 1) * Math.log(s) - (df * s * s) / 2);
  const most = Math.sqrt(1 + 60 / df + 16 / Math.sqrt(df));
  const steps = 4000;
  let integral = 0;
  for (let i = 0; i <= steps; i++) {
    const s = (i / steps) * most;
    const weight = i === 0 || i === steps ? 1 : i % 2 ? 4 : 2;
    integral += weight * density(s) * normalCdf(shift - critical * s);
  }
  return (integral * most) / steps / 3;
}

/** A random number from the normal distribution (Box and Muller 1958). */
const randomNormal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** A random number from the chi-squared distribution, by Marsaglia and Tsang's method (2000). */
function randomChiSquared(df) {
  // For a small shape of the gamma distribution, one above it, and a power of a random number.
  const shape = df / 2 < 1 ? df / 2 + 1 : df / 2;
  const d = shape - 1 / 3;
  for (;;) {
    const x = randomNormal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - Math.random()) < (x * x) / 2 + d * (1 - v + Math.log(v))) {
      return 2 * d * v * (df / 2 < 1 ? Math.random() ** (2 / df) : 1);
    }
  }
}

/** Play one experiment: whether it finds this true difference. */
function playOnce(difference, v, alpha) {
  const df = degreesOfFreedom(v);
  const error = Math.sqrt(Number.isFinite(df) ? randomChiSquared(df) / df : 1);
  const found = Math.abs(difference) / Math.sqrt(total(v)) + randomNormal();
  return found > tQuantile(1 - alpha / 2, df) * error;
}

/** The variance to expect with n seeds per net. */
function withSeeds(v, n) {
  const scale = (parts) => parts.map((part, i) => (part * v.nSeeds[i]) / n);
  return { ...v, seeds: scale(v.seeds), least: scale(v.least), nSeeds: v.nSeeds.map(() => n) };
}

/** The variance to expect with this number of test images. */
function withImages(v, n) {
  const share = v.nImages / n;
  const least = v.least.map((part) => part * share);
  return { ...v, images: v.images * share, least, nImages: n };
}

/** The smallest number of seeds that finds the difference in 80% of cases, or null. */
function seedsToFind(difference, v, alpha) {
  const step = v.nFolds || 1;
  const isEnough = (n) => chanceToDiffer(difference, withSeeds(v, n * step), alpha) >= POWER;
  let low = Math.ceil((v.nFolds || MIN_SEEDS) / step);
  let high = Math.floor(MAX_SEEDS / step);
  if (!isEnough(high)) return null;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (isEnough(middle)) high = middle;
    else low = middle + 1;
  }
  return low * step;
}

/** Say how long something takes, such as 3 hours. */
function formatDuration(seconds) {
  const [size, unit] = seconds < 5400 ? [60, "minute"] : [3600, "hour"];
  const n = Math.max(1, Math.round(seconds / size));
  return `${n.toLocaleString("en")} ${unit}${n === 1 ? "" : "s"}`;
}

/** A number from a field; null, with a message in the field, if it is not allowed. */
function numberIn(field) {
  return field.value !== "" && field.checkValidity() ? Number(field.value) : null;
}

/** Build the planner of one recipe. */
function planner(family) {
  const parts = Array.from({ length: family.parts }, (_, part) => part);
  const { nets, pairs } = judge(family, parts, DATA.margin);
  if (!pairs.length) return [];
  const nImages = pairs[0].estimate.variance.nImages;
  const orMore = family.folds ? " or more" : "";
  const secondsOf = (name) => nets.find((net) => net.name === name).seconds;

  const choose = (selected) => {
    const list = element("select", {}, ...nets.map((net) => element("option", {}, net.name)));
    list.value = selected;
    return list;
  };
  const field = (value, min, max, step) =>
    element("input", { type: "number", value, min, max, step });
  const one = choose(nets[0].name);
  const other = choose(nets.some((net) => net.name === BASELINE) && nets[0].name !== BASELINE ? BASELINE : nets[1].name);
  const points = field(1, 0.1, 50, 0.1);
  const images = field(nImages, 10, 10000000, 1);
  const comparisons = field(nets.length - 1, 1, 10000, 1);
  const form = element(
    "fieldset",
    {},
    element("legend", {}, "To find a difference"),
    element("label", {}, "between", one),
    element("label", {}, "and", other),
    element("label", {}, "of", points, "points"),
    element("label", {}, "with", images, "test images"),
    element("label", {}, "among", comparisons, "comparisons"),
  );
  const status = element("p", { role: "status" });
  const chances = element("ol", { class: "chances" });
  const shown = family.folds ? [1, 2, 4, 8].map((k) => k * family.parts) : SHOWN_SEEDS;
  const seedsToPlay = element("select", {}, ...shown.map((n) => element("option", { value: n }, `${n} seeds`)));
  seedsToPlay.value = shown[1];
  const button = element("button", { type: "button" }, `Play ${EXPERIMENTS} experiments`);
  const played = element("p", { role: "status" });
  const game = element("fieldset", {}, element("legend", {}, "Luck"), button, element("label", {}, "with", seedsToPlay, "per net"));

  /** What is planned: the true difference, the variance and the level; null if not sensible. */
  let plan = null;
  function play() {
    if (!plan) return;
    const { difference, v, alpha } = plan;
    const n = Number(seedsToPlay.value);
    const finds = Array.from({ length: EXPERIMENTS }, () => playOnce(difference, withSeeds(v, n), alpha));
    const hits = finds.filter(Boolean).length;
    played.replaceChildren(
      element("span", { class: "marks", "aria-hidden": "true" }, finds.map((isFound) => (isFound ? "●" : "○")).join("")),
      ` ${hits} of ${EXPERIMENTS} experiments found the difference, ${EXPERIMENTS - hits} missed it, although it was there in all of them.`,
    );
  }
  button.addEventListener("click", play);

  function update() {
    plan = null;
    played.replaceChildren();
    chances.replaceChildren();
    const [difference, n, m] = [points, images, comparisons].map(numberIn);
    const pair = pairs.find((p) => [one.value, other.value].includes(p.first) && [one.value, other.value].includes(p.second));
    if (!pair || one.value === other.value) {
      status.textContent = "Choose two nets.";
      return;
    }
    if (difference === null || n === null || m === null) {
      status.textContent = "Choose 0.1 to 50 points, 10 or more images, and 1 or more comparisons.";
      return;
    }
    const v = withImages(pair.estimate.variance, n);
    const alpha = ALPHA / m;
    const needed = seedsToFind(difference / 100, v, alpha);
    // For one seed of both nets; null if it was not measured.
    const seconds = secondsOf(one.value) && secondsOf(other.value)
      ? secondsOf(one.value) + secondsOf(other.value)
      : null;
    status.textContent = needed === null
      ? `No number of seeds finds it in 80% of cases: ${n.toLocaleString("en")} images are too few.`
      : `Each net needs ${needed.toLocaleString("en")} seeds${orMore} to find it in 80% of cases` +
        (seconds ? `: about ${formatDuration(needed * seconds)} of training for both, on one core.` : ".");
    plan = { difference: difference / 100, v, alpha };
    for (const seeds of shown) {
      const chance = chanceToDiffer(difference / 100, withSeeds(v, seeds), alpha);
      const bar = element("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = `${100 * chance}%`;
      chances.append(
        element(
          "li",
          {},
          element("span", {}, `${seeds} seeds`),
          element("span", { class: "track" }, bar),
          element("span", {}, `${Math.round(100 * chance)}%`),
          element("span", { class: "quiet" }, seconds ? formatDuration(seeds * seconds) : ""),
        ),
      );
    }
  }
  form.addEventListener("input", update);
  update();
  const title = DATA.hasSeveralRecipes ? [element("h3", {}, family.heading)] : [];
  return [...title, form, status, chances, game, played];
}

const plans = DATA.families.flatMap(planner);
document
  .getElementById("planner")
  ?.replaceChildren(...(plans.length ? plans : [`This needs ${MIN_SEEDS} seeds per net.`]));
