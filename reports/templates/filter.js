"use strict";
(() => {
  const box = document.getElementById("filter");
  const said = document.getElementById("filtered");
  const all = [...document.querySelectorAll("[data-filter]")].map((item) => ({
    item, text: (item.querySelector(".sum") || item).textContent.toLowerCase(), cell: item.matches(".cell"),
  }));
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const each of all) each.item.hidden = !words.every((word) => each.text.includes(word));
    const cells = all.filter((each) => each.cell);
    said.textContent = `${cells.filter((each) => !each.item.hidden).length} of ${cells.length} cells`;
  };
  const arrive = () => {
    const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!at) return;
    if (at.closest("[hidden]")) { box.value = ""; apply(); }
    const folded = at.matches(".cell") && at.querySelector("details");
    if (folded) folded.open = true;
    at.scrollIntoView();
  };
  box.addEventListener("input", apply);
  addEventListener("hashchange", arrive);
  document.querySelector(".filter").hidden = false;
  apply();
  arrive();
})();
