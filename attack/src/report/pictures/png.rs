//! Grey pictures as PNG files within a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Grey `pixels` [height, width] as a data URI.
pub fn data_uri(pixels: &[u8], height: usize, width: usize) -> String {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    // Unwrap safety: a picture has as many pixels as its grid says (`files::check`), and memory takes all of them.
    written.expect("a picture of its grid's size");
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_read_again() {
        let uri = data_uri(&[0, 64, 128, 255, 3, 7], 2, 3);
        let file = STANDARD.decode(uri.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (3, 2, png::ColorType::Grayscale));
        assert_eq!(pixels, [0, 64, 128, 255, 3, 7]);
    }
}
