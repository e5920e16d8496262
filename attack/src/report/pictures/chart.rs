//! Lines with their intervals: a band where points are many, whiskers where they are few.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::axis::{Axis, HEIGHT, WIDTH, frame};
use crate::report::model::{Chart, Estimate};

/// Colours that the colour-blind can tell apart (Okabe and Ito 2008).
pub const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00", "#444444"];

const MOST_WHISKERS: usize = 12;

/// A figure with legend, or nothing for a chart without points.
pub fn figure(chart: &Chart) -> String {
    let points = || chart.curves.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        return String::new();
    }
    let scale = if chart.y.is_fraction() { 100.0 } else { 1.0 };
    let xs: Vec<f64> = points().map(|(x, _)| *x).collect();
    let ys: Vec<f64> = points().flat_map(|(_, f)| [f.value, f.low, f.high]).map(|y| scale * y).collect();
    let (x, y) = (Axis::horizontal(&xs, chart.log_x), Axis::vertical(&ys));
    let mut svg = frame(&x, &y, &chart.x, &format!("{}{}", chart.y, chart.y.unit()));
    for (order, curve) in chart.curves.iter().enumerate() {
        let mut points: Vec<Point> =
            curve.points.iter().map(|(at, f)| place(&x, &y, *at, scale, f)).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        draw(&mut svg, &points, COLOURS[order % COLOURS.len()], is_dashed(order));
    }
    framed(&chart.title, &legend(chart.curves.iter().map(|curve| curve.name.as_str())), &svg)
}

/// A figure with its interval, in a chart's pixels.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// From the left.
    pub x: f64,
    /// The figure, from the top.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Where `figure` at `at` lies, `scale` times as great.
pub fn place(x: &Axis, y: &Axis, at: f64, scale: f64, figure: &Estimate) -> Point {
    let up = |value: f64| y.place(scale * value);
    Point { x: x.place(at), value: up(figure.value), low: up(figure.low), high: up(figure.high) }
}

/// Whether the line at that place has a colour that one before it has.
fn is_dashed(order: usize) -> bool {
    order >= COLOURS.len()
}

fn draw(svg: &mut String, points: &[Point], colour: &str, dashed: bool) {
    if points.len() > MOST_WHISKERS {
        let above = points.iter().map(|p| format!("{:.1},{:.1}", p.x, p.high));
        let below = points.iter().rev().map(|p| format!("{:.1},{:.1}", p.x, p.low));
        let around: Vec<String> = above.chain(below).collect();
        let _ = write!(svg, "<polygon points=\"{}\" fill=\"{colour}\" opacity=\".15\"/>", around.join(" "));
    }
    let line: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", p.x, p.value)).collect();
    let dashes = if dashed { " stroke-dasharray=\"7 4\"" } else { "" };
    let _ = write!(svg, "<polyline points=\"{}\" stroke=\"{colour}\"{dashes}/>", line.join(" "));
    if points.len() <= MOST_WHISKERS {
        points.iter().for_each(|point| svg.push_str(&mark(*point, colour)));
    }
}

/// A dot with its whisker.
pub fn mark(point: Point, colour: &str) -> String {
    let Point { x, value, low, high } = point;
    let left = x - 3.0;
    format!(
        "<path d=\"M{x:.1} {low:.1}V{high:.1}M{left:.1} {low:.1}h6M{left:.1} {high:.1}h6\" stroke=\"{colour}\"/>\
         <circle cx=\"{x:.1}\" cy=\"{value:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
    )
}

/// Names beside their colours, in stripes where lines are dashed.
pub fn legend<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    let background = |order: usize| {
        let colour = COLOURS[order % COLOURS.len()];
        match is_dashed(order) {
            true => format!("repeating-linear-gradient(90deg,{colour} 0 3px,transparent 3px 5px)"),
            false => colour.to_string(),
        }
    };
    html! {
        ul.legend {
            @for (order, name) in names.enumerate() {
                li { i style={ "background:" (background(order)) } {} (name) }
            }
        }
    }
}

/// A chart's SVG under its title and legend.
pub fn framed(title: &str, legend: &Markup, svg: &str) -> String {
    let figure = html! {
        figure.chart {
            figcaption { (title) }
            (legend)
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) { (PreEscaped(svg)) }
        }
    };
    figure.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn lines_of_one_colour_are_told_apart() {
        let mut chart = sample().charts.swap_remove(1);
        let drawn = |chart: &Chart| {
            let figure = figure(chart);
            (figure.matches("stroke-dasharray").count(), figure.matches("repeating-linear-gradient").count())
        };
        chart.curves = vec![chart.curves.swap_remove(0); COLOURS.len()];
        assert_eq!(drawn(&chart), (0, 0));
        chart.curves.push(chart.curves[0].clone());
        assert_eq!(drawn(&chart), (1, 1));
    }
}
