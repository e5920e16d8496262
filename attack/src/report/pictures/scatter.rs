//! Privacy against utility: each defence at each setting, between what the task keeps and what leaks.

use std::fmt::Write;

use maud::{Markup, html};

use super::axis::{Axis, frame};
use super::chart::{COLOURS, Point, framed, legend, mark, place};
use super::label::LabelPlacement;
use crate::report::model::{Estimate, UtilityPoint};
use crate::report::{Metric, escape};

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
    /// Whether a line joins the points that no other point beats.
    pub frontier: bool,
}

/// Which points no other beats: none keeps as much of the task with less leakage, or more with as little.
pub fn on_frontier(points: &[UtilityPoint]) -> Vec<bool> {
    let beaten = |point: &UtilityPoint| {
        points.iter().any(|other| {
            let (more, less) = (other.utility - point.utility, point.leakage.value - other.leakage.value);
            more >= 0.0 && less >= 0.0 && more + less > 0.0
        })
    };
    points.iter().map(|point| !beaten(point)).collect()
}

/// The figure, or nothing if no defence was measured; `metric` is the task's.
pub fn plot(points: &[UtilityPoint], metric: &str, plot: &Plot) -> String {
    if points.is_empty() {
        return String::new();
    }
    let mut defences: Vec<&str> = Vec::new();
    for point in points {
        if !defences.contains(&point.defence.as_str()) {
            defences.push(&point.defence);
        }
    }
    let xs = points.iter().flat_map(|point| point.utility_interval.unwrap_or([point.utility; 2]));
    let xs: Vec<f64> = xs.collect();
    let ys = points.iter().flat_map(|p| [p.leakage.low, p.leakage.value, p.leakage.high, p.baseline.value]);
    let ys: Vec<f64> = ys.map(|y| 100.0 * y).collect();
    let (x, y) = (Axis::horizontal(&xs, false), Axis::vertical(&ys));
    let marks: Vec<Point> = points.iter().map(|p| place(&x, &y, p.utility, 100.0, &p.leakage)).collect();
    let mut labels = LabelPlacement::around(&marks);
    let mut svg = frame(&x, &y, &format!("{metric} (right is better)"), plot.y);
    if plot.frontier {
        svg.push_str(&stairs(points, &marks));
    }
    for (point, dot) in points.iter().zip(marks) {
        let order = defences.iter().position(|defence| *defence == point.defence).unwrap_or(0);
        let colour = COLOURS[order % COLOURS.len()];
        svg.push_str(&mark(dot, colour));
        if let Some(ends) = point.utility_interval {
            let ([left, right], up) = (ends.map(|end| x.place(end)), dot.value - 3.0);
            let _ = write!(
                svg,
                "<path d=\"M{left:.1} {:.1}H{right:.1}M{left:.1} {up:.1}v6M{right:.1} {up:.1}v6\" stroke=\"{colour}\"/>",
                dot.value
            );
        }
        let (from, bare) = (dot.x - 7.0, y.place(100.0 * point.baseline.value));
        let _ = write!(svg, "<path class=\"bare\" d=\"M{from:.1} {bare:.1}h14\" stroke=\"{colour}\"/>");
        let (left, base) = labels.place(dot, &point.setting);
        let setting = escape(&point.setting);
        let _ = write!(svg, "<text x=\"{left:.1}\" y=\"{base:.1}\" fill=\"{colour}\">{setting}</text>");
    }
    let note = html! { p.caveat { (plot.note) } };
    let figure = framed(plot.title, &legend(defences.into_iter()), &svg);
    format!("<div>{figure}{}</div>", note.into_string())
}

/// The line along the points on the frontier, behind all marks: what leaks at least for so much of the task.
fn stairs(points: &[UtilityPoint], marks: &[Point]) -> String {
    let on_it = marks.iter().zip(on_frontier(points)).filter(|(_, on_it)| *on_it);
    let mut on_it: Vec<&Point> = on_it.map(|(dot, _)| dot).collect();
    on_it.sort_by(|a, b| a.x.total_cmp(&b.x));
    let Some(first) = on_it.first() else { return String::new() };
    let steps: String = on_it[1..].iter().map(|dot| format!("V{:.1}H{:.1}", dot.value, dot.x)).collect();
    format!("<path class=\"frontier\" d=\"M{:.1} {:.1}{steps}\"/>", first.x, first.value)
}

/// The same figures as a table, or nothing if no defence was measured.
pub fn table(points: &[UtilityPoint], metric: &str, plot: &Plot) -> Markup {
    if points.is_empty() {
        return html! {};
    }
    let without = format!("{}, %", plot.without);
    html! {
        table.reflow {
            thead { tr {
                th { "defence" } th { "setting" } th.figure { (metric) } th.figure { (plot.figure) }
                th.figure { (without) } th.figure { (Metric::Dcs) } th { "strongest attack" }
            } }
            tbody {
                @for point in points {
                    tr {
                        td { (point.defence) }
                        td data-name="setting" { (point.setting) }
                        td.figure data-name=(metric) { (format!("{:.3}", point.utility)) }
                        (cell(plot.figure, Metric::Skill, Some(point.leakage)))
                        (cell(&without, Metric::Skill, Some(point.baseline)))
                        (cell("DCS", Metric::Dcs, point.dcs))
                        td data-name="strongest attack" { (point.strongest) }
                    }
                }
            }
        }
    }
}

fn cell(name: &str, metric: Metric, figure: Option<Estimate>) -> Markup {
    let Some(figure) = figure else { return html! { td.figure {} } };
    html! { td.figure data-name=(name) { (metric.number(figure.value)) small { (metric.range(figure)) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(utility: f64, leakage: f64) -> UtilityPoint {
        UtilityPoint {
            defence: String::new(),
            setting: String::new(),
            utility,
            utility_interval: None,
            leakage: Estimate { value: leakage, low: leakage, high: leakage },
            baseline: Estimate { value: 0.0, low: 0.0, high: 0.0 },
            strongest: String::new(),
            dcs: None,
        }
    }

    #[test]
    fn what_another_beats_is_not_on_the_frontier() {
        let points = [point(0.7, 0.2), point(0.8, 0.6), point(0.75, 0.6), point(0.7, 0.3), point(0.7, 0.2)];
        assert_eq!(on_frontier(&points), [true, true, false, false, true]);
    }
}
