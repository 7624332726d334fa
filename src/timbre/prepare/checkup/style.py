"""The style sheet of the report."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c22; --dim: #5d5d6b; --paper: #fbfbfd; --edge: #d9d9e3; --bar: #4062c8;
  --stop: #b3261e; --harm: #8a5a00; --note: #2e6b3f; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf1; --dim: #a6a6b5; --paper: #16161b; --edge: #3a3a46;
  --bar: #8fa8f5; --stop: #ff8a80; --harm: #f0b95a; --note: #85d19a; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
small, figcaption { color: var(--dim); }
bdi { overflow-wrap: anywhere; }
.verdict { font-size: 1.15rem; border-left: .35rem solid; padding: .4rem .9rem; overflow-wrap: anywhere; }
.stop { color: var(--stop); } .harm { color: var(--harm); } .note { color: var(--note); }
.verdict.stop, .verdict.harm, .verdict.note { color: var(--ink); }
.verdict.stop { border-color: var(--stop); } .verdict.harm { border-color: var(--harm); }
.verdict.note { border-color: var(--note); }
.advice { list-style: none; padding: 0; }
.advice li { display: flex; gap: .8rem; padding: .6rem 0; border-top: 1px solid var(--edge); }
.advice div { overflow-wrap: anywhere; min-width: 0; }
.level { flex: 0 0 3.6rem; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--edge); vertical-align: top;
  min-width: 3rem; }
th { color: var(--dim); font-weight: 500; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
td:last-child { white-space: normal; max-width: 40rem; }
td bdi { display: inline-block; max-width: 20rem; white-space: normal; }
code { white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--edge); }
svg .bar, svg image { shape-rendering: crispEdges; }
svg .bar { fill: var(--bar); }
svg .line { fill: none; stroke-width: 1.8; stroke: var(--c); }
.line0, .key0 { --c: var(--bar); } .line1, .key1 { --c: #d0673b; } .line2, .key2 { --c: #3c9d6e; }
.line3, .key3 { --c: #b0559f; } .line4, .key4 { --c: #a88b1d; } .line5, .key5 { --c: #3a9fb3; }
.key { white-space: nowrap; max-width: 100%; margin-left: .6rem; }
.key::before { content: ""; display: inline-block; width: 1rem; height: .2rem; background: var(--c);
  margin-right: .3rem; vertical-align: middle; }
details { margin-top: 1.4rem; }
summary { cursor: pointer; font-size: 1.1rem; font-weight: 600; }
"""
