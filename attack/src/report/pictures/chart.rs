//! Lines with their intervals: a band where points are many, whiskers where they are few.

use std::fmt::Write;

use super::axis::{Axis, HEIGHT, WIDTH, frame};
use crate::report::escape::escape;
use crate::report::model::{Chart, Curve};
use crate::report::names::{is_fraction, unit};

/// Colours that the colour-blind can tell apart (Okabe and Ito 2008).
pub const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00", "#444444"];

const MOST_WHISKERS: usize = 12;

/// A figure with legend, or nothing for a chart without points.
pub fn figure(chart: &Chart) -> String {
    let points = || chart.curves.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        return String::new();
    }
    let scale = if is_fraction(&chart.y) { 100.0 } else { 1.0 };
    let xs: Vec<f64> = points().map(|(x, _)| *x).collect();
    let ys: Vec<f64> = points().flat_map(|(_, f)| [f.value, f.low, f.high]).map(|y| scale * y).collect();
    let (x, y) = (Axis::horizontal(&xs, chart.log_x), Axis::vertical(&ys));
    let mut svg = frame(&x, &y, &chart.x, &format!("{}{}", chart.y, unit(&chart.y)));
    for (curve, colour) in chart.curves.iter().zip(COLOURS.iter().cycle()) {
        draw(&mut svg, curve, colour, |(at, f)| {
            [x.place(*at), y.place(scale * f.value), y.place(scale * f.low), y.place(scale * f.high)]
        });
    }
    let legend = legend(chart.curves.iter().map(|curve| curve.name.as_str()));
    framed(&chart.title, &legend, &svg)
}

type Point = (f64, crate::report::model::Estimate);

fn draw(svg: &mut String, curve: &Curve, colour: &str, place: impl Fn(&Point) -> [f64; 4]) {
    let mut points: Vec<[f64; 4]> = curve.points.iter().map(place).collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let path = |y: usize| points.iter().map(move |p| format!("{:.1},{:.1}", p[0], p[y]));
    if points.len() > MOST_WHISKERS {
        let around: Vec<String> = path(3).chain(path(2).rev()).collect();
        let _ = write!(svg, "<polygon points=\"{}\" fill=\"{colour}\" opacity=\".15\"/>", around.join(" "));
    }
    let line: Vec<String> = path(1).collect();
    let _ = write!(svg, "<polyline points=\"{}\" stroke=\"{colour}\"/>", line.join(" "));
    if points.len() <= MOST_WHISKERS {
        points.iter().for_each(|[x, value, low, high]| svg.push_str(&mark(*x, *value, *low, *high, colour)));
    }
}

/// A dot with its whisker.
pub fn mark(x: f64, value: f64, low: f64, high: f64, colour: &str) -> String {
    format!(
        "<path d=\"M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h6M{:.1} {high:.1}h6\" stroke=\"{colour}\"/>\
         <circle cx=\"{x:.1}\" cy=\"{value:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
        x - 3.0,
        x - 3.0
    )
}

/// Names beside their colours.
pub fn legend<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut list = String::from("<ul class=\"legend\">");
    for (name, colour) in names.zip(COLOURS.iter().cycle()) {
        let _ = write!(list, "<li><i style=\"background:{colour}\"></i>{}</li>", escape(name));
    }
    list + "</ul>"
}

/// A chart's SVG under its title and legend.
pub fn framed(title: &str, legend: &str, svg: &str) -> String {
    let title = escape(title);
    format!(
        "<figure class=\"chart\"><figcaption>{title}</figcaption>{legend}\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">{svg}</svg></figure>\n"
    )
}
