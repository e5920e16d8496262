//! An inverse network that convolves: from maps of features back to the images that they are of.
//!
//! One network predicts the tile of pixels beneath a place of the map from the features in a window around it, and from
//! where it is; the same weights serve every place. That is a decoder of one wide convolution, pointwise ones and a
//! sub-pixel rearrangement (Shi et al. 2016), and every image gives as many examples as its map has places.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::stream;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::snapshot::to_host;
use rand::Rng;

/// Side of the window of features, in places.
const WINDOW: usize = 5;
/// Units of the hidden layers.
const HIDDEN: [usize; 2] = [256, 128];
/// Tiles of a batch.
const BATCH: usize = 512;
/// Updates, at least and at most, and passes over all tiles between.
const LEAST_UPDATES: u64 = 300;
const MOST_UPDATES: u64 = 6000;
const MOST_EPOCHS: u64 = 30;
const RATE: f64 = 3e-3;
/// Images that are decoded at once.
const TOGETHER: usize = 64;

/// What is known: maps [rows, channels, height, width] and images alike.
pub struct Maps<'a> {
    /// The maps' values.
    pub features: &'a [f32],
    /// Their channels, height and width.
    pub shape: [usize; 3],
    /// The images' pixels.
    pub images: &'a [f32],
    /// Their channels, height and width.
    pub image: [usize; 3],
}

/// The decoder.
pub struct ConvolutionalRegression {
    model: Mlp,
    layout: TileLayout,
    /// Mean and one over the deviation of each channel of the maps.
    channels: Vec<(f32, f32)>,
    /// Mean and deviation of pixels, least and greatest.
    pixels: (f32, f32),
    range: (f32, f32),
    device: Device,
}

impl ConvolutionalRegression {
    /// Learns from `known`.
    pub fn fit(known: &Maps, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        let layout = TileLayout::new(known.shape, known.image);
        let mut init = Init::new(stream(seed, "local decoder", &[]), &device);
        // Unwrap safety: a window of a map of few channels.
        let model = MlpConfig { hidden: HIDDEN.to_vec() }
            .init(layout.inputs(), layout.outputs(), &mut init)
            .expect("few units");
        let plane = known.shape[1] * known.shape[2];
        let mut channels = Vec::with_capacity(known.shape[0]);
        for channel in 0..known.shape[0] {
            let planes = known.features.chunks_exact(plane).skip(channel).step_by(known.shape[0]);
            let (mean, deviation) = moments(planes.flatten());
            channels.push((mean, 1.0 / deviation.max(1e-6)));
        }
        let range = |(low, high): (f32, f32), pixel: &f32| (low.min(*pixel), high.max(*pixel));
        let mut local = Self {
            model,
            layout,
            channels,
            pixels: moments(known.images.iter()),
            range: known.images.iter().fold((f32::INFINITY, f32::NEG_INFINITY), range),
            device,
        };
        local.learn(known, seed);
        local
    }

    fn learn(&mut self, known: &Maps, seed: u64) {
        let maps = self.standard(known.features);
        let (map, image) = (self.layout.map.iter().product::<usize>(), known.image.iter().product::<usize>());
        let (places, rows) = (self.layout.places(), known.images.len() / image);
        let updates =
            (MOST_EPOCHS * (rows * places) as u64 / BATCH as u64).clamp(LEAST_UPDATES, MOST_UPDATES);
        let mut adam = Adam::new(AdamConfig { weight_decay: 0.0, ..AdamConfig::default() });
        let mut rng = stream(seed, "local decoder batches", &[]);
        let (mean, deviation) = self.pixels;
        let rates = Rates::one_cycle(RATE, updates);
        for update in 0..updates {
            let (mut inputs, mut tiles) = (Vec::new(), Vec::new());
            for _ in 0..BATCH {
                let drawn = (rng.next_u64() % (rows * places) as u64) as usize;
                let (row, place) = (drawn / places, drawn % places);
                self.layout.window(&maps[row * map..][..map], place, &mut inputs);
                let pixels = &known.images[row * image..][..image];
                let pixel =
                    |at: Option<usize>| at.map_or(0.0, |at| (pixels[at] - mean) / deviation.max(1e-6));
                tiles.extend(self.layout.tile(place).map(pixel));
            }
            let (guess, trace) = self.model.forward(self.tensor(inputs, BATCH), &mut Dropout::off());
            let count = tiles.len();
            let gradient = (guess - self.tensor(tiles, BATCH)).mul_scalar(2.0 / count as f32);
            let mut gradients = self.model.backward_weights(trace, gradient);
            let rate = rates.at(update);
            self.model = adam.update(self.model.clone(), &mut gradients, rate);
        }
    }

    /// Images of `features` [rows, channels, height, width].
    pub fn predict(&self, features: &[f32]) -> Vec<f32> {
        let maps = self.standard(features);
        let (map, places, outputs) =
            (self.layout.map.iter().product::<usize>(), self.layout.places(), self.layout.outputs());
        let image: usize = self.layout.image.iter().product();
        let mut images = vec![0.0; maps.len() / map * image];
        for (maps, images) in maps.chunks(map * TOGETHER).zip(images.chunks_mut(image * TOGETHER)) {
            let mut inputs = Vec::new();
            for map in maps.chunks_exact(map) {
                (0..places).for_each(|place| self.layout.window(map, place, &mut inputs));
            }
            let inputs = self.tensor(inputs, maps.len() / map * places);
            let tiles = to_host(self.model.forward(inputs, &mut Dropout::off()).0);
            for (image, tiles) in images.chunks_exact_mut(image).zip(tiles.chunks_exact(places * outputs)) {
                for (place, tile) in tiles.chunks_exact(outputs).enumerate() {
                    for (at, value) in self.layout.tile(place).zip(tile) {
                        let value = (value * self.pixels.1 + self.pixels.0).clamp(self.range.0, self.range.1);
                        at.into_iter().for_each(|at| image[at] = value);
                    }
                }
            }
        }
        images
    }

    fn standard(&self, features: &[f32]) -> Vec<f32> {
        let plane = self.layout.map[1] * self.layout.map[2];
        let planes = features.chunks_exact(plane).zip(self.channels.iter().cycle());
        planes.flat_map(|(plane, (mean, scale))| plane.iter().map(move |v| (v - mean) * scale)).collect()
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = values.len() / rows;
        Tensor::from_data(TensorData::new(values, [rows, width]), &self.device.clone().inner())
    }
}

/// Mean and standard deviation.
fn moments<'a>(values: impl Iterator<Item = &'a f32> + Clone) -> (f32, f32) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values.map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    (mean as f32, variance.sqrt() as f32)
}

/// How places of a map lie over an image.
#[derive(Clone, Copy)]
struct TileLayout {
    map: [usize; 3],
    image: [usize; 3],
    /// Height and width of a tile, and tiles down and across: the last ones may hang over the image's edge.
    tile: [usize; 2],
    tiles: [usize; 2],
}

impl TileLayout {
    fn new(map: [usize; 3], image: [usize; 3]) -> Self {
        let tile = [1, 2].map(|axis| (image[axis] / map[axis]).max(1));
        let tiles = [0, 1].map(|axis| image[axis + 1].div_ceil(tile[axis]));
        Self { map, image, tile, tiles }
    }

    fn places(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    fn inputs(&self) -> usize {
        WINDOW * WINDOW * self.map[0] + 2
    }

    fn outputs(&self) -> usize {
        self.image[0] * self.tile[0] * self.tile[1]
    }

    /// Adds the features around `place`, zero beyond the map, and where it is.
    fn window(&self, map: &[f32], place: usize, inputs: &mut Vec<f32>) {
        let [channels, height, width] = self.map;
        let (y, x) = (place / self.tiles[1], place % self.tiles[1]);
        for channel in 0..channels {
            for row in (y..y + WINDOW).map(|row| row.wrapping_sub(WINDOW / 2)) {
                for column in (x..x + WINDOW).map(|column| column.wrapping_sub(WINDOW / 2)) {
                    let there = row < height && column < width;
                    inputs.push(if there { map[(channel * height + row) * width + column] } else { 0.0 });
                }
            }
        }
        let centred = |at: usize, of: usize| 2.0 * (at as f32 + 0.5) / of as f32 - 1.0;
        inputs.extend([centred(y, self.tiles[0]), centred(x, self.tiles[1])]);
    }

    /// Where the pixels of a place's tile are in the image; `None` beyond its edge.
    fn tile(&self, place: usize) -> impl Iterator<Item = Option<usize>> + use<> {
        let Self { image: [channels, height, width], tile: [high, wide], tiles, .. } = *self;
        let (top, left) = (place / tiles[1] * high, place % tiles[1] * wide);
        (0..channels * high * wide).map(move |inside| {
            let (channel, row, column) =
                (inside / (high * wide), top + inside / wide % high, left + inside % wide);
            (row < height && column < width).then_some((channel * height + row) * width + column)
        })
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    /// Tiles of every place cover the image once, also where the map is short of it.
    #[test]
    fn tiles_cover_the_image() {
        let layout = TileLayout::new([3, 7, 3], [2, 28, 14]);
        assert_eq!((layout.tile, layout.tiles), ([4, 4], [7, 4]));
        let mut pixels: Vec<usize> =
            (0..layout.places()).flat_map(|place| layout.tile(place).flatten()).collect();
        pixels.sort_unstable();
        assert!(pixels.into_iter().eq(0..2 * 28 * 14));
    }

    /// Means and one difference over 2 x 2 pixels and their neighbours say what the pixels are, up to little.
    #[test]
    fn a_map_of_the_image_itself_is_decoded() {
        let mut rng = stream(0, "local test", &[]);
        let (rows, image) = (200, [1, 8, 6]);
        let images: Vec<f32> = (0..rows * 48).map(|_| uniform(&mut rng)).collect();
        // Channels are the pixels of a window, mixed.
        let mix =
            [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [0.0, 1.0, 1.0, 0.0]];
        let features: Vec<f32> = images
            .chunks_exact(48)
            .flat_map(|image| {
                mix.into_iter().flat_map(move |weights| {
                    (0..12).map(move |place| {
                        let corner = place / 3 * 12 + place % 3 * 2;
                        let window = [0, 1, 6, 7].map(|inside| image[corner + inside]);
                        window.iter().zip(weights).map(|(pixel, weight)| pixel * weight).sum::<f32>()
                    })
                })
            })
            .collect();
        let (known, asked) = (190 * 48, 10 * 48);
        let maps = Maps { features: &features[..known], shape: [4, 4, 3], images: &images[..known], image };
        let guess = ConvolutionalRegression::fit(&maps, 1).predict(&features[known..]);
        let error: f32 = guess.iter().zip(&images[known..]).map(|(g, t)| (g - t).powi(2)).sum();
        // A guess of the mean would leave 1/12 of each pixel.
        assert!(error / (asked as f32) < 0.2 / 12.0, "{}", error / asked as f32);
    }
}
