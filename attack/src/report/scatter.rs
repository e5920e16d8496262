//! Privacy against utility: each defence at each setting, between what the task keeps and what leaks.

use std::fmt::Write;

use super::axis::{Axis, frame};
use super::chart::{COLOURS, framed, legend, mark};
use super::escape::escape;
use super::figure::{number, range};
use super::model::{Report, UtilityPoint};
use super::names::SKILL;

/// The figure and its table, or nothing if no defence was measured.
pub fn section(report: &Report) -> String {
    let points = &report.utility;
    if points.is_empty() {
        return String::new();
    }
    let mut defences: Vec<&str> = Vec::new();
    for point in points {
        if !defences.contains(&point.defence.as_str()) {
            defences.push(&point.defence);
        }
    }
    let xs: Vec<f64> = points.iter().map(|point| point.utility).collect();
    let ys = points.iter().flat_map(|p| [p.leakage.low, p.leakage.value, p.leakage.high, p.baseline.value]);
    let ys: Vec<f64> = ys.map(|y| 100.0 * y).collect();
    let (x, y) = (Axis::horizontal(&xs, false), Axis::vertical(&ys));
    let mut svg = frame(
        &x,
        &y,
        &format!("{} on test records (right is better)", report.utility_metric),
        "variance explained, % (low is better)",
    );
    let spots: Vec<(f64, f64)> =
        points.iter().map(|p| (x.place(p.utility), y.place(100.0 * p.leakage.value))).collect();
    for (place, (defence, colour)) in defences.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let own = points.iter().zip(&spots).filter(|(point, _)| point.defence == **defence);
        for (point, (across, down)) in own {
            let [low, high, bare] =
                [point.leakage.low, point.leakage.high, point.baseline.value].map(|f| y.place(100.0 * f));
            svg.push_str(&mark(*across, *down, low, high, colour));
            let _ = write!(
                svg,
                "<path class=\"bare\" d=\"M{:.1} {bare:.1}h14\" stroke=\"{colour}\"/>",
                across - 7.0
            );
            let (offset, anchor) = if place % 2 == 0 { (7.0, "start") } else { (-7.0, "end") };
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
                across + offset,
                down - 4.0,
                escape(&point.setting)
            );
        }
    }
    let figure = framed("What a defence costs and what it saves", &legend(defences.into_iter()), &svg);
    format!(
        "{figure}<p>Dots: the strongest attack that was run, with its 95 % interval. Dashes at the same place: the \
         same adversary without the code.</p>{}",
        table(report)
    )
}

fn table(report: &Report) -> String {
    let mut html = format!(
        "<table><thead><tr><th>defence</th><th>setting</th><th>{}</th><th>variance explained, %</th>\
         <th>without the code, %</th><th>strongest attack</th></tr></thead><tbody>",
        escape(&report.utility_metric)
    );
    for UtilityPoint { defence, setting, utility, leakage, baseline, strongest } in &report.utility {
        let _ =
            write!(html, "<tr><td>{}</td><td>{}</td><td>{utility:.3}</td>", escape(defence), escape(setting));
        for figure in [leakage, baseline] {
            let (value, range) = (number(SKILL, figure.value), range(SKILL, *figure));
            let _ = write!(html, "<td class=\"figure\">{value}<small>{range}</small></td>");
        }
        let _ = write!(html, "<td>{}</td></tr>", escape(strongest));
    }
    html + "</tbody></table>"
}
