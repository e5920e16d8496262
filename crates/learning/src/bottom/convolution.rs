//! Convolution, ReLU and a 2 x 2 maximum on the CPU, as products of matrices.
//!
//! Images are channels-last here: a kernel's row on an image is then one run of memory, and an image's *patches*
//! (what the kernel sees, one row an output pixel) are copies of such runs. A convolution is patches times weights.
//! A few images at a time go through all of it, so that their patches never leave the cache.

use std::ops::AddAssign;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::init::ConvSpec;
use crate::snapshot::to_host;
use crate::threads::vectorized;

/// Floats of patches and products of the images that are computed together.
const TOGETHER: usize = 1 << 17;
/// In place of a window's pixel: none was above zero.
const NONE: u32 = u32::MAX;

/// A layer on images of one size.
pub struct Convolution {
    spec: ConvSpec,
    /// Output pixels before the maximum: height and width.
    pixels: [usize; 2],
    /// Output pixels: height and width.
    pooled: [usize; 2],
    /// Side of the maximum's window.
    window: usize,
    /// Floats of an input image.
    image: usize,
    /// What patches copy.
    runs: Vec<Run>,
}

/// A stretch of memory that an image and its patches share, in the order of the patches.
struct Run {
    patch: usize,
    image: usize,
    len: usize,
}

/// Weights [outputs, kernel x kernel x inputs] and biases of a layer, or their gradients.
pub struct Weights {
    /// The weights.
    pub kernels: Vec<f32>,
    /// The biases.
    pub biases: Vec<f32>,
}

impl AddAssign for Weights {
    fn add_assign(&mut self, other: Self) {
        self.kernels.iter_mut().zip(other.kernels).for_each(|(sum, value)| *sum += value);
        self.biases.iter_mut().zip(other.biases).for_each(|(sum, value)| *sum += value);
    }
}

impl Convolution {
    /// A layer on images of `height` x `width`, with a maximum over windows of `window` x `window` pixels.
    pub fn new(spec: ConvSpec, [height, width]: [usize; 2], window: usize) -> Self {
        let ConvSpec { inputs, kernel, stride, padding, .. } = spec;
        let pixels = [spec.output_side(height), spec.output_side(width)];
        let mut runs = Vec::new();
        for y in 0..pixels[0] {
            for x in 0..pixels[1] {
                for kernel_row in 0..kernel {
                    let Some(row) = (y * stride + kernel_row).checked_sub(padding) else { continue };
                    // Columns of the kernel that lie on the image.
                    let left = padding.saturating_sub(x * stride);
                    let right = (width + padding).saturating_sub(x * stride).min(kernel);
                    if row < height && left < right {
                        let patch = ((y * pixels[1] + x) * kernel + kernel_row) * kernel + left;
                        let image = row * width + x * stride + left - padding;
                        let len = (right - left) * inputs;
                        runs.push(Run { patch: patch * inputs, image: image * inputs, len });
                    }
                }
            }
        }
        let pooled = pixels.map(|side| side / window);
        Self { spec, pixels, pooled, window, image: height * width * inputs, runs }
    }

    /// Output pixels: height and width.
    pub fn output(&self) -> [usize; 2] {
        self.pooled
    }

    /// Channels-last `images` through the layer, and which pixel of its window each output came from.
    pub fn forward(&self, images: &[f32], weights: &Weights) -> (Vec<f32>, Vec<u32>) {
        let size = self.pooled[0] * self.pooled[1] * self.spec.outputs;
        let count = images.len() / self.image;
        let (mut all_values, mut all_winners) = (vec![0.0; count * size], vec![0; count * size]);
        let kernels = self.kernels(weights).transpose();
        let values = all_values.par_chunks_mut(self.together() * size);
        let winners = all_winners.par_chunks_mut(self.together() * size);
        images.par_chunks(self.together() * self.image).zip(values.zip(winners)).for_each(
            |(images, (values, winners))| {
                let products = self.patches(images).matmul(kernels.clone()).into_data();
                // Unwrap safety: every tensor of this crate is f32.
                let products = products.as_slice::<f32>().expect("f32 tensor");
                let per_image = products.chunks_exact(self.products());
                let outputs = values.chunks_exact_mut(size).zip(winners.chunks_exact_mut(size));
                vectorized(
                    #[inline(always)]
                    || {
                        for (products, (values, winners)) in per_image.zip(outputs) {
                            self.pool(products, &weights.biases, values, winners);
                        }
                    },
                );
            },
        );
        (all_values, all_winners)
    }

    /// The weights' gradient, and with `to_images` the images', for a `gradient` of the outputs.
    pub fn backward(
        &self,
        images: &[f32],
        weights: &Weights,
        winners: &[u32],
        gradient: &[f32],
        to_images: bool,
    ) -> (Weights, Vec<f32>) {
        let ConvSpec { inputs, outputs, kernel, .. } = self.spec;
        let size = self.pooled[0] * self.pooled[1] * outputs;
        let kernels = self.kernels(weights);
        // One float an image where nobody needs the images' gradient.
        let back_image = if to_images { self.image } else { 1 };
        let mut back = vec![0.0; images.len() / self.image * back_image];
        let gradients = gradient.par_chunks(self.together() * size);
        let winners = winners.par_chunks(self.together() * size);
        let parts: Vec<Weights> = images
            .par_chunks(self.together() * self.image)
            .zip(back.par_chunks_mut(self.together() * back_image))
            .zip(gradients.zip(winners))
            .map(|((images, back), (gradients, winners))| {
                let count = images.len() / self.image;
                let mut products = vec![0.0; count * self.products()];
                let mut biases = vec![0.0; outputs];
                let per_image = gradients.chunks_exact(size).zip(winners.chunks_exact(size));
                vectorized(
                    #[inline(always)]
                    || {
                        let products = products.chunks_exact_mut(self.products());
                        for (products, (gradient, winners)) in products.zip(per_image) {
                            self.unpool(gradient, winners, &mut biases, products);
                        }
                    },
                );
                let shape = [products.len() / outputs, outputs];
                let products = Tensor::<2>::from_data(TensorData::new(products, shape), &Device::flex());
                if to_images {
                    let patches = products.clone().matmul(kernels.clone()).into_data();
                    // Unwrap safety: every tensor of this crate is f32.
                    let patches = patches.as_slice::<f32>().expect("f32 tensor");
                    let size = self.pixels[0] * self.pixels[1] * kernel * kernel * inputs;
                    let per_image = patches.chunks_exact(size).zip(back.chunks_exact_mut(self.image));
                    vectorized(
                        #[inline(always)]
                        || {
                            for (patches, image) in per_image {
                                self.fold(patches, image);
                            }
                        },
                    );
                }
                let kernels = to_host(products.transpose().matmul(self.patches(images)));
                Weights { kernels, biases }
            })
            .collect();
        let mut sum =
            Weights { kernels: vec![0.0; outputs * kernel * kernel * inputs], biases: vec![0.0; outputs] };
        // In order, whichever thread was first.
        parts.into_iter().for_each(|part| sum += part);
        (sum, back)
    }

    /// Images that are computed together.
    fn together(&self) -> usize {
        let patches = self.pixels[0] * self.pixels[1] * self.spec.kernel.pow(2) * self.spec.inputs;
        (TOGETHER / (patches + self.products())).max(1)
    }

    /// Floats of an image's products, before the maximum.
    fn products(&self) -> usize {
        self.pixels[0] * self.pixels[1] * self.spec.outputs
    }

    fn kernels(&self, weights: &Weights) -> Tensor<2> {
        let shape = [self.spec.outputs, weights.kernels.len() / self.spec.outputs];
        Tensor::from_data(TensorData::new(weights.kernels.clone(), shape), &Device::flex())
    }

    /// Patches of images, zero where the kernel leaves an image: [pixels of all images, kernel x kernel x inputs].
    fn patches(&self, images: &[f32]) -> Tensor<2> {
        let pixels = self.pixels[0] * self.pixels[1];
        let width = self.spec.kernel.pow(2) * self.spec.inputs;
        let count = images.len() / self.image;
        let mut patches = Vec::with_capacity(count * pixels * width);
        for (start, image) in (0..).step_by(pixels * width).zip(images.chunks_exact(self.image)) {
            for run in &self.runs {
                patches.resize(start + run.patch, 0.0);
                patches.extend_from_slice(&image[run.image..][..run.len]);
            }
        }
        patches.resize(count * pixels * width, 0.0);
        Tensor::from_data(TensorData::new(patches, [count * pixels, width]), &Device::flex())
    }

    /// The reverse of patches for a gradient: every pixel gets the sum of its copies.
    #[inline(always)]
    fn fold(&self, patches: &[f32], image: &mut [f32]) {
        for run in &self.runs {
            let (from, to) = (&patches[run.patch..][..run.len], &mut image[run.image..][..run.len]);
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
    }

    /// Pooled pixels, each with the pixels of its window, as places in units of a pixel's channels.
    fn windows(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize>)> {
        let ([height, width], [_, wide], window) = (self.pooled, self.pixels, self.window);
        (0..height * width).map(move |at| {
            let corner = (at / width * wide + at % width) * window;
            (at, (0..window * window).map(move |inside| corner + inside / window * wide + inside % window))
        })
    }

    /// Bias, ReLU and the maximum of one image.
    #[inline(always)]
    fn pool(&self, products: &[f32], biases: &[f32], values: &mut [f32], winners: &mut [u32]) {
        let channels = self.spec.outputs;
        for (at, mut window) in self.windows() {
            let values = &mut values[at * channels..][..channels];
            let winners = &mut winners[at * channels..][..channels];
            if let Some(first) = window.next() {
                values.copy_from_slice(&products[first * channels..][..channels]);
            }
            for (inside, pixel) in (1..).zip(window) {
                keep_larger(values, winners, &products[pixel * channels..][..channels], inside);
            }
            add_and_cut(values, winners, biases);
        }
    }

    /// The reverse of [`Self::pool`] for a gradient; adds to the biases' gradient.
    #[inline(always)]
    fn unpool(&self, gradient: &[f32], winners: &[u32], biases: &mut [f32], products: &mut [f32]) {
        let channels = self.spec.outputs;
        for (at, window) in self.windows() {
            let gradient = &gradient[at * channels..][..channels];
            let winners = &winners[at * channels..][..channels];
            for ((bias, gradient), winner) in biases.iter_mut().zip(gradient).zip(winners) {
                let value = *gradient;
                *bias += if *winner == NONE { 0.0 } else { value };
            }
            for (inside, pixel) in (0..).zip(window) {
                let products = &mut products[pixel * channels..][..channels];
                for ((product, gradient), winner) in products.iter_mut().zip(gradient).zip(winners) {
                    let value = *gradient;
                    *product = if *winner == inside { value } else { 0.0 };
                }
            }
        }
    }
}

/// Puts each of `others` that is larger in the place of its value.
#[inline(always)]
fn keep_larger(values: &mut [f32], winners: &mut [u32], others: &[f32], inside: u32) {
    for ((value, winner), other) in values.iter_mut().zip(winners).zip(others) {
        let (best, place) = (*value, *winner);
        *value = if *other > best { *other } else { best };
        *winner = if *other > best { inside } else { place };
    }
}

/// Bias and ReLU.
#[inline(always)]
fn add_and_cut(values: &mut [f32], winners: &mut [u32], biases: &[f32]) {
    for ((value, winner), bias) in values.iter_mut().zip(winners).zip(biases) {
        let (sum, place) = (*value + bias, *winner);
        // What is no number stays none: the party looks for it before it sends codes.
        *value = if sum <= 0.0 { 0.0 } else { sum };
        *winner = if sum <= 0.0 { NONE } else { place };
    }
}

/// Swaps the last two dimensions of `values` [.., rows, columns].
pub fn swap(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    if rows == 1 || columns == 1 {
        return values.to_vec();
    }
    let mut swapped = vec![0.0; values.len()];
    let size = rows * columns;
    for (from, to) in values.chunks_exact(size).zip(swapped.chunks_exact_mut(size)) {
        for (row, values) in from.chunks_exact(columns).enumerate() {
            to[row..].iter_mut().step_by(rows).zip(values).for_each(|(to, from)| *to = *from);
        }
    }
    swapped
}
