// Presses keys, reads what the page shows, and leaves the findings in an element of the page.
const found = { errors: [] };
addEventListener("error", (event) => found.errors.push(event.message));
const wait = (time) => new Promise((done) => setTimeout(done, time));
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const chosen = () => document.querySelector('#videos [aria-selected="true"] th').textContent;
const pixel = (id) => [...at(id).getContext("2d").getImageData(8, 8, 1, 1).data].slice(0, 3);
const until = async (test) => {
  for (let i = 0; i < 100 && !test(); i++) await wait(50);
};
const leave = () => {
  const leaf = document.createElement("pre");
  leaf.id = "found";
  leaf.textContent = JSON.stringify(found);
  document.body.append(leaf);
};
const visit = async () => {
  found.best = [...document.querySelectorAll("#summary .best")].map((cell) => cell.textContent);
  document.querySelector('#summary [data-sort="1"]').click();
  found.sorted = document.querySelector("#summary tbody th").textContent.trim();
  found.worst = chosen();
  press("ArrowDown");
  found.next = chosen();
  press("ArrowUp");
  press("m");
  found.metric = at("metric").selectedOptions[0].textContent;
  press("m");
  press("2");
  found.model = at("model").selectedOptions[0].textContent;
  press("b");
  found.order = [...document.querySelectorAll("#videos tbody th")].map((cell) => cell.textContent);
  press("1");
  await until(() => player.readyState >= 2 && at("input").width > 0 && !player.seeking);
  await wait(300);
  found.size = [at("input").width, at("input").height];
  found.first = { frame: state.frame, time: player.currentTime, input: pixel("input"), back: pixel("reconstruction") };
  press("ArrowRight");
  await until(() => !player.seeking);
  await wait(300);
  found.second = { frame: state.frame, time: player.currentTime, input: pixel("input") };
  press("v");
  found.wiped = { hidden: at("input").closest("figure").hidden, left: pixel("reconstruction") };
  found.curves = at("curve").querySelectorAll("path").length;
  found.live = at("curve-text").textContent;
  found.bold = document.querySelectorAll("main b").length;
};
visit().catch((error) => found.errors.push(String(error))).finally(leave);
