"use strict";
(() => {
  const box = document.getElementById("filter");
  const said = document.getElementById("filtered");
  const all = [...document.querySelectorAll("[data-filter]")].map((item) => ({
    item, text: item.textContent.toLowerCase(),
  }));
  if (!all.length) return;
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const each of all) each.item.hidden = !words.every((word) => each.text.includes(word));
    said.textContent = `${all.filter((each) => !each.item.hidden).length} of ${all.length}`;
  };
  const arrive = () => {
    const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!at || !at.closest("[hidden]")) return;
    box.value = "";
    apply();
    at.scrollIntoView();
  };
  box.addEventListener("input", apply);
  addEventListener("hashchange", arrive);
  document.querySelector(".filter").hidden = false;
  apply();
  arrive();
})();
