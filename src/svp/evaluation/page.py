"""A report for people: HTML with table, plots and what has to be known of each metric."""

from pathlib import Path
from typing import Final

from jinja2 import Environment

from svp.evaluation.plots import plots
from svp.evaluation.report import TRUTH, MetricReport, Report, Row, best_systems, grouped, write_text

ARROWS: Final = {"higher": "↑", "lower": "↓", "near zero": "→ 0", "near the truth's": "→ truth"}

TEMPLATE: Final = """{% macro listed(names) %}
{% if names | length > 5 %}<details><summary>{{ names | length }} videos</summary>{{ names | join(", ") }}</details>
{% else %}{{ names | join(", ") }}{% endif %}{% endmacro %}
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>SVP evaluation</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
td:first-child, th:first-child { text-align: left }
small { color: #666; white-space: nowrap }
.best { font-weight: 700 }
.warning { background: #fff3d6; padding: .3rem .6rem; border-left: 3px solid #e0a100 }
dt { font-weight: 600; float: left; clear: left; width: 7rem }
dd { margin-left: 8rem }
svg { max-width: 100%; height: auto }
@media (max-width: 40rem) {
body { font-size: 13px; margin: 1rem auto; padding: 0 .5rem }
td, th { padding: .2rem .35rem }
dt { float: none; width: auto }
dd { margin-left: 1rem }
}
</style></head><body>
<h1>Evaluation</h1>
<p>{{ report.systems | length }} {{ "system" if report.systems | length == 1 else "systems" }} against
<code>{{ report.reference }}</code>. Bold is best. Under each mean: its {{ "%.0f" | format(100 * report.confidence) }} %
bootstrap interval over the inputs ({{ report.resamples }} resamples, seed {{ report.seed }}). Where a figure should be
near zero, the mean of the absolute values decides.</p>
{% for warning in report.warnings %}<p class="warning">{{ warning }}</p>{% endfor %}
<div class="wide"><table>
<tr><th></th>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr>
{% for metric in report.metrics %}
<tr><td><a href="#{{ metric.name }}">{{ metric.title }}</a> {{ arrows[metric.better] }}
<small>{{ metric.unit }}</small></td>
{% for name in names %}{% set row = rows(metric, name) %}
<td{% if name in best(metric) %} class="best"{% endif %}>{{ figure(row) }}{% if row and row.low is not none %}<br>
<small>{{ "%.3g" | format(row.low) }} … {{ "%.3g" | format(row.high) }}</small>{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% if report.problems %}<h2>Not measured</h2><div class="wide"><table>
<tr><th>system</th><th>why</th><th>videos</th></tr>
{% for (system, reason), videos in problems.items() %}<tr><td>{{ system }}</td><td>{{ reason }}</td>
<td>{{ listed(videos) }}</td></tr>{% endfor %}</table></div>{% endif %}
<h2>Absent</h2><ul>{% for title, reason in report.absent.items() %}<li>{{ title }}: {{ reason }}</li>{% endfor %}</ul>
<h2>How it was measured</h2><dl>
<dt>rate</dt><dd>{{ report.fps }} frames per second, by time stamps</dd>
<dt>crop</dt><dd>{{ report.crop }}</dd><dt>resize</dt><dd>{{ report.resize }}</dd>
<dt>versions</dt><dd>{% for name, version in report.versions.items() %}{{ name }} {{ version }} {% endfor %}</dd>
<dt>pixels</dt><dd>{% for name in names %}{{ name }}:
{% for size, n in report.sizes.get(name, {}).items() %}{{ size }} ({{ n }}) {% endfor %}<br>{% endfor %}</dd>
{% for name, folder in report.systems.items() %}<dt>{{ name }}</dt><dd><code>{{ folder }}</code></dd>{% endfor %}</dl>
{% for metric in report.metrics %}
<h2 id="{{ metric.name }}">{{ metric.title }}</h2><dl>
<dt>better</dt><dd>{{ metric.better }}</dd><dt>unit</dt><dd>{{ metric.unit or "none" }}</dd>
<dt>source</dt><dd>{{ metric.source }}</dd><dt>weights</dt><dd>{{ metric.weights }}</dd>
<dt>mind</dt><dd>{{ metric.pitfalls }}</dd>
{% for row in metric.rows %}<dt>{{ row.system }}</dt>
<dd>{{ figure(row) }}, {{ row.clips }} clips of {{ row.inputs }} inputs, {{ row.frames }} frames
{% if row.vectors is not none %}, {{ row.vectors }} vectors{% endif %}
{% for reason, clips in row.unmeasured.items() %}<br>{{ clips | length }} not measured: {{ reason }}:
{{ listed(clips) }}{% endfor %}</dd>{% endfor %}
{% if metric.floor is not none %}<dt>floor</dt>
<dd>{{ "%.4g" | format(metric.floor) }}: {{ metric.floor_text }}</dd>{% endif %}</dl>
{% for warning in metric.warnings %}<p class="warning">{{ warning }}</p>{% endfor %}
{% for plot in plots(metric) %}{{ plot | safe }}{% endfor %}
{% endfor %}</body></html>
"""


def figure_text(row: Row | None) -> str:
    """A mean as text, with that of the absolute values where these count."""
    if row is None or row.mean is None:
        return "–"
    return f"{row.mean:.4g}" + ("" if row.absolute is None else f", absolute {row.absolute:.4g}")


def row_of(metric: MetricReport, system: str) -> Row | None:
    return next((row for row in metric.rows if row.system == system), None)


def problem_groups(report: Report) -> dict[tuple[str, str], list[str]]:
    """Names of the videos that could not be measured, by system and reason."""
    return grouped(((problem.system, problem.reason), problem.name) for problem in report.problems)


def html_page(report: Report) -> str:
    """The report as one HTML page without any link outwards."""
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(TEMPLATE).render(
        report=report,
        problems=problem_groups(report),
        names=[TRUTH, *report.systems],
        arrows=ARROWS,
        rows=row_of,
        figure=figure_text,
        best=best_systems,
        plots=plots,
    )


def write_html(report: Report, path: Path) -> None:
    """Write `html_page` to a file that appears whole."""
    write_text(path, html_page(report))
