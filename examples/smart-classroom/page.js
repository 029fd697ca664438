"use strict";
const main = document.querySelector("main");
const link = document.querySelector("#link");
const events = new EventSource("events");
events.onmessage = (event) => {
  main.innerHTML = JSON.parse(event.data);
  link.textContent = "";
};
events.onerror = () => {
  link.textContent = "The room is not heard now; trying again.";
};
