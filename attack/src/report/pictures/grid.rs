//! Pictures of the same records, one kind a row.

use std::fmt::Write;

use super::png::data_uri;
use crate::report::escape::escape;
use crate::report::model::Grid;

/// Width that a picture fills on the page at least.
const SHOWN: usize = 56;

/// The table of pictures.
pub fn table(grid: &Grid) -> String {
    let times = SHOWN.div_ceil(grid.width.max(1)).max(1);
    let (width, height) = (times * grid.width, times * grid.height);
    let mut html = format!("<h3>{}</h3><div class=\"pictures\"><table><tbody>", escape(&grid.title));
    for row in &grid.rows {
        let name = escape(&row.name);
        let _ = write!(html, "<tr><th>{name}</th>");
        for (record, image) in row.images.iter().enumerate() {
            let pixels: Vec<u8> = image.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
            let _ = write!(
                html,
                "<td><img src=\"{}\" width=\"{width}\" height=\"{height}\" alt=\"{name}, picture {}\"></td>",
                data_uri(&pixels, grid.height, grid.width),
                record + 1
            );
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table></div>\n"
}
