//! The learning curve as an SVG picture.

use std::path::Path;

use anyhow::anyhow;
use hashvfl_learning::training::EpochReport;
use plotters::prelude::*;

const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 39, 40);

/// Draws losses and validation accuracy over the epochs.
pub fn draw(epochs: &[EpochReport], path: &Path) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, (900, 420)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    let (left, right) = root.split_horizontally(450);
    let curve = |value: &dyn Fn(&EpochReport) -> Option<f64>| -> Vec<(f64, f64)> {
        epochs.iter().filter_map(|report| Some((f64::from(report.epoch), value(report)?))).collect()
    };
    let training = curve(&|report| Some(report.train_loss));
    let validation = curve(&|report| report.validation.map(|found| found.loss));
    let accuracy = curve(&|report| report.validation.and_then(|found| found.accuracy));
    panel(
        &left,
        "loss (cross entropy, nats)",
        &[("training", TRAINING, training), ("validation", VALIDATION, validation)],
    )
    .and_then(|()| panel(&right, "validation accuracy", &[("validation", VALIDATION, accuracy)]))
    .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
    root.present().map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn panel(
    area: &Area,
    title: &str,
    curves: &[(&str, RGBColor, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = curves.iter().flat_map(|(.., points)| points);
    let last = points.clone().map(|(x, _)| *x).fold(1.0, f64::max);
    let most = points.map(|(_, y)| *y).fold(0.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(1.0..last, 0.0..most.max(1e-6))?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (name, color, points) in curves {
        let color = *color;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().border_style(BLACK.mix(0.2)).background_style(WHITE).draw()?;
    Ok(())
}
