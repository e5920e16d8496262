//! Pictures of the same records, one row per kind.

use maud::{Markup, html};

use super::png::data_uri;
use crate::report::model::PictureGrid;

/// Width that a picture fills on the page at least.
const SHOWN: usize = 56;

/// The pictures, each row under its name.
pub fn table(grid: &PictureGrid) -> Markup {
    let times = SHOWN.div_ceil(grid.width.max(1)).max(1);
    let (width, height) = (times * grid.width, times * grid.height);
    html! {
        h3 { (grid.title) }
        @for row in &grid.rows {
            figure.pictures {
                figcaption { (row.name) }
                @for (record, image) in row.images.iter().enumerate() {
                    img src=(data_uri(&grey(image), grid.height, grid.width)) width=(width) height=(height)
                        alt={ (row.name) ", picture " (record + 1) };
                }
            }
        }
    }
}

fn grey(image: &[f32]) -> Vec<u8> {
    image.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}
