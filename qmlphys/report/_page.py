"""The page of `qmlphys.report`: HTML and style, with places for escaped text."""

from __future__ import annotations

__all__ = ["PAGE", "TABLE"]

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="generator" content="qmlphys">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; color: #1c1c1c; background: #fff;
  overflow-wrap: break-word;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 1px solid #ddd; }}
.summary {{ max-width: 44rem; margin: 0; white-space: pre-line; }}
.note {{ color: #555; font-size: .875rem; margin: .5rem 0 0; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid #e6e6e6;
  overflow-wrap: anywhere; }}
thead th {{ color: #555; font-weight: 600; border-bottom: 1px solid #999; white-space: nowrap; }}
tbody th {{ font-weight: 500; min-width: 9rem; }}
td[data-label="value"] {{ font-weight: 600; white-space: nowrap; }}
td[data-label="exact"], td[data-label="deviation"], td[data-label="unit"] {{ white-space: nowrap; }}
td[data-label="source"] {{ color: #555; min-width: 9rem; }}
tr.far td[data-label="deviation"] {{ color: #b3261e; font-weight: 600; }}
figure {{ margin: 0 0 2rem; }}
.picture {{ overflow-x: auto; }}
figure img {{ display: block; max-width: 100%; height: auto; }}
figcaption {{ color: #444; font-size: .9rem; max-width: 44rem; margin-top: .35rem; }}
details {{ margin-top: 2rem; }}
summary {{ cursor: pointer; }}
pre {{ overflow-x: auto; background: #f6f6f6; padding: .75rem; font-size: .8rem; line-height: 1.4; }}
@media (max-width: 40rem) {{
  thead {{ position: absolute; left: -9999px; }}
  table, tbody, tr, th, td {{ display: block; }}
  tr {{ padding: .6rem 0; border-bottom: 1px solid #ddd; }}
  th, td {{ border: 0; padding: .1rem 0; }}
  td:empty {{ display: none; }}
  td::before {{ content: attr(data-label); display: inline-block; min-width: 6rem; color: #666; font-weight: 400; }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
{summary}
{parts}
<p class="note">The figures in brackets are one standard error in the last digits. The deviation is counted in standard
errors. Exact values stand beside the results for comparison.</p>
<details><summary>Settings that reproduce this run</summary>
<pre>{settings}</pre>
</details>
</body>
</html>
"""

TABLE = """<table>
<thead><tr><th scope="col">quantity</th><th scope="col">value</th><th scope="col">exact</th>
<th scope="col">deviation</th><th scope="col">unit</th><th scope="col">source</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
"""
