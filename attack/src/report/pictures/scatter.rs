//! Privacy against utility: each defence at each setting, between what the task keeps and what leaks.

use std::fmt::Write;

use super::axis::{Axis, frame};
use super::chart::{COLOURS, framed, legend, mark};
use super::label::LabelPlacement;
use crate::report::escape::escape;
use crate::report::figure::{number, range};
use crate::report::model::UtilityPoint;
use crate::report::names::{DCS, SKILL};

/// What a plot says of its points.
pub struct Plot {
    /// Its title.
    pub title: &'static str,
    /// Its upright axis.
    pub y: &'static str,
    /// The same in the table.
    pub figure: &'static str,
    /// What the adversary of the dashes lacks.
    pub without: &'static str,
    /// What it shows.
    pub note: &'static str,
}

/// The figure and its table, or nothing if no defence was measured; `metric` is the task's.
pub fn section(points: &[UtilityPoint], metric: &str, plot: &Plot) -> String {
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
    let mut svg = frame(&x, &y, &format!("{metric} (right is better)"), plot.y);
    let marks: Vec<[f64; 4]> = points
        .iter()
        .map(|p| {
            let [value, low, high] =
                [p.leakage.value, p.leakage.low, p.leakage.high].map(|f| y.place(100.0 * f));
            [x.place(p.utility), value, low, high]
        })
        .collect();
    let whiskers: Vec<[f64; 3]> = marks.iter().map(|[x, _, low, high]| [*x, *high, *low]).collect();
    let mut labels = LabelPlacement::around(&whiskers);
    for (point, [across, value, low, high]) in points.iter().zip(marks) {
        let order = defences.iter().position(|defence| *defence == point.defence).unwrap_or(0);
        let colour = COLOURS[order % COLOURS.len()];
        svg.push_str(&mark(across, value, low, high, colour));
        let (from, bare) = (across - 7.0, y.place(100.0 * point.baseline.value));
        let _ = write!(svg, "<path class=\"bare\" d=\"M{from:.1} {bare:.1}h14\" stroke=\"{colour}\"/>");
        let (left, base) = labels.place((across, value), &point.setting);
        let setting = escape(&point.setting);
        let _ = write!(svg, "<text x=\"{left:.1}\" y=\"{base:.1}\" fill=\"{colour}\">{setting}</text>");
    }
    let figure = framed(plot.title, &legend(defences.into_iter()), &svg);
    format!("{figure}<p>{}</p>{}", plot.note, table(points, metric, plot))
}

fn table(points: &[UtilityPoint], metric: &str, plot: &Plot) -> String {
    let mut html = format!(
        "<table><thead><tr><th>defence</th><th>setting</th><th>{}</th><th class=\"figure\">{}</th>\
         <th class=\"figure\">{}, %</th><th class=\"figure\">DCS</th><th>strongest attack</th></tr></thead><tbody>",
        escape(metric),
        plot.figure,
        plot.without
    );
    for UtilityPoint { defence, setting, utility, leakage, baseline, strongest, dcs } in points {
        let _ =
            write!(html, "<tr><td>{}</td><td>{}</td><td>{utility:.3}</td>", escape(defence), escape(setting));
        for figure in [leakage, baseline] {
            let (value, range) = (number(SKILL, figure.value), range(SKILL, *figure));
            let _ = write!(html, "<td class=\"figure\">{value}<small>{range}</small></td>");
        }
        html.push_str("<td class=\"figure\">");
        if let Some(dcs) = dcs {
            let _ = write!(html, "{}<small>{}</small>", number(DCS, dcs.value), range(DCS, *dcs));
        }
        let _ = write!(html, "</td><td>{}</td></tr>", escape(strongest));
    }
    html + "</tbody></table>"
}
