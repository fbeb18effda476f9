// "Who wins?": the ranking, with the seeds or folds that the reader chooses.

/** Say in one sentence what the chosen runs show. */
function sentence(family, { nets, pairs }, parts, atRandom) {
  const [first, second] = nets;
  const what = family.folds ? "fold" : "seed";
  const number = parts.length === 1 ? `one ${what}` : `${parts.length} ${what}s`;
  const lead = `${formatPoints(first.accuracy - second.accuracy)} points`;
  if (atRandom) {
    return `With one training run per net, ${first.name} leads by ${lead}. You cannot tell whether that is more than luck.`;
  }
  if (!pairs.length) {
    return `With ${number}, ${first.name} leads by ${lead}. There are no verdicts with fewer than ${MIN_SEEDS} ${what}s.`;
  }
  const words = pairs.map((pair) => pair.word);
  const decided = words.filter((word) => word !== WORDS.unknown).length;
  const beaten = pairs.filter((p) => p.first === first.name && p.word === WORDS.better).length;
  const others = nets.length - 1;
  const whom = beaten === others ? "all other nets" : `${beaten} of the other ${others} nets`;
  return `With ${number}, ${first.name} leads by ${lead}, and is better than ${whom}. For ${decided} of ${pairs.length} pairs, we can tell: better, worse or the same.`;
}

/** Return the verdict on a net compared with the baseline, or nothing. */
function comparedWithBaseline(name, pairs) {
  for (const pair of pairs) {
    if (pair.first === name && pair.second === BASELINE) return pair;
    if (pair.second === name && pair.first === BASELINE) return reversed(pair);
  }
  return null;
}

function noVerdict(name, pairs) {
  if (name !== BASELINE) return pairs.length ? "no verdict" : "";
  return pairs.length ? "the others are compared with this net" : "";
}

/** Say which nets come first if only one seed or fold is looked at. */
function winners(family, what) {
  const wins = new Map();
  for (let part = 0; part < family.parts; part++) {
    const [first] = judge(family, [part], DATA.margin).nets;
    wins.set(first.name, (wins.get(first.name) ?? 0) + 1);
  }
  const counts = [...wins].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${n} times`);
  return `Judged by one ${what} at a time, the winner is ${counts.join(", ")}.`
    .replaceAll(" 1 times", " once")
    .replaceAll(" 2 times", " twice");
}

/** Draw a net's row: its name, its runs on a scale, its accuracy, its verdict. */
function row(net, pairs, scale) {
  const verdict = comparedWithBaseline(net.name, pairs);
  const word = net.name === BASELINE ? BASELINE : (verdict?.word ?? "no verdict");
  const place = (share) => `${(100 * (share - scale.low)) / (scale.high - scale.low)}%`;
  const track = element("span", { class: "track", "aria-hidden": "true" });
  if (net.low !== undefined) {
    const bar = element("span", { class: "interval" });
    bar.style.left = place(net.low);
    bar.style.right = `calc(100% - ${place(net.high)})`;
    track.append(bar);
  }
  for (const run of net.means) {
    const mark = element("span", { class: "run" });
    mark.style.left = place(run);
    track.append(mark);
  }
  const dot = element("span", { class: "dot" });
  dot.style.left = place(net.accuracy);
  track.append(dot);
  const said = verdict ? formatVerdict(verdict, DATA.margin) : noVerdict(net.name, pairs);
  return element(
    "li",
    { class: `net ${word.replaceAll(" ", "-")}` },
    element("b", {}, net.name),
    track,
    element("span", { class: "accuracy" }, formatPercent(net.accuracy)),
    element("span", { class: "verdict" }, said),
  );
}

/** Build the boxes and the ranking of one recipe. */
function whoWins(family) {
  const what = family.folds ? "fold" : "seed";
  const status = element("p", { role: "status" });
  const list = element("ol", { class: "ranking" });
  const boxes = Array.from({ length: family.parts }, (_, part) => {
    const box = element("input", { type: "checkbox", value: part });
    box.checked = true;
    return box;
  });
  const all = judge(family, boxes.map((_, part) => part), DATA.margin);
  const runs = all.nets.flatMap((net) => [...net.means, net.low, net.high]);
  const scale = { low: Math.min(...runs), high: Math.max(...runs) };

  function show(result, parts, atRandom = false) {
    status.textContent = sentence(family, result, parts, atRandom);
    list.replaceChildren(...result.nets.map((net) => row(net, result.pairs, scale)));
  }
  function update() {
    const parts = boxes.flatMap((box, part) => (box.checked ? [part] : []));
    if (parts.length) show(judge(family, parts, DATA.margin), parts);
    else {
      status.textContent = `Choose at least one ${what}.`;
      list.replaceChildren();
    }
  }
  /** Each net gets a random seed of its own, as if every net were trained once. */
  function atRandom() {
    const nets = family.nets.map((net) => {
      const seed = Math.floor(Math.random() * family.parts);
      const accuracy = mean(net.correct[seed]);
      return { ...net, accuracy, means: [accuracy] };
    });
    nets.sort((a, b) => b.accuracy - a.accuracy);
    show({ nets, pairs: [] }, [0], true);
  }
  const labels = boxes.map((box, part) => element("label", {}, box, ` ${part}`));
  const choice = element("fieldset", {}, element("legend", {}, family.folds ? "Folds" : "Seeds"), ...labels);
  boxes.forEach((box) => box.addEventListener("change", update));
  if (!family.folds) {
    const button = element("button", { type: "button" }, "One training run per net, at random");
    button.addEventListener("click", atRandom);
    choice.append(" ", button);
  }
  update();
  const key = element(
    "p",
    { class: "quiet" },
    `The scale is from ${formatPercent(scale.low)} to ${formatPercent(scale.high)}. ${winners(family, what)}`,
  );
  return [choice, status, list, key];
}

for (const family of DATA.families) {
  partFor(family, "who-wins").replaceChildren(...whoWins(family));
}
