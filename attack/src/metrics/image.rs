//! Pictures: PSNR and SSIM, for values in 0 to 1.

use hashvfl_leakage::metrics::ratio;

use crate::report::Estimate;

/// Peak signal-to-noise ratio in dB of a mean squared error, for values in 0 to 1: `-10 log10(MSE)`; infinite
/// for a perfect guess.
pub fn psnr(mse: f64) -> f64 {
    -10.0 * mse.log10()
}

/// The same of the mean of records' squared `errors`, with its interval.
pub fn peak_signal(errors: &[f64]) -> Estimate {
    let left = ratio::mean(errors);
    Estimate { value: psnr(left.value), low: psnr(left.high), high: psnr(left.low) }
}

const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
/// (K1 L)^2 and (K2 L)^2 with K1 = 0.01, K2 = 0.03 and the data range L = 1.
const STABLE: (f64, f64) = (0.0001, 0.0009);

/// Structural similarity of two grey images [height, width] with values in 0 to 1: at most 1, which is the same
/// image (Wang, Bovik, Sheikh and Simoncelli 2004).
///
/// A Gaussian window of 11 x 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, variances as weighted means. The mean is
/// taken over the windows that lie in the image wholly, so no border is made up; None if there is no such window.
pub fn ssim(truth: &[f32], guess: &[f32], height: usize, width: usize) -> Option<f64> {
    assert_eq!(truth.len(), height * width, "the image is not height x width");
    assert_eq!(truth.len(), guess.len(), "truth and guess differ in size");
    if !has_ssim(height, width) {
        return None;
    }
    let kernel = gaussian();
    let corners = corners(height, width);
    let similar =
        corners.iter().map(|corner| SsimWindow::new(&truth[*corner..], &guess[*corner..], width, &kernel));
    Some(similar.map(|window| window.similarity()).sum::<f64>() / corners.len() as f64)
}

/// Whether images of that size have a structural similarity.
pub fn has_ssim(height: usize, width: usize) -> bool {
    height >= WINDOW && width >= WINDOW
}

/// The gradient of the structural similarity with respect to the `guess`, of an image that has one.
pub fn ssim_gradient(truth: &[f32], guess: &[f32], height: usize, width: usize) -> Vec<f32> {
    let kernel = gaussian();
    let corners = corners(height, width);
    let mut gradient = vec![0.0; guess.len()];
    for corner in &corners {
        let window = SsimWindow::new(&truth[*corner..], &guess[*corner..], width, &kernel);
        let [constant, of_truth, of_guess] = window.slopes();
        for (y, weight_y) in kernel.iter().enumerate() {
            let start = corner + y * width;
            for (place, weight_x) in (start..start + WINDOW).zip(&kernel) {
                let (a, b) = (f64::from(truth[place]), f64::from(guess[place]));
                let slope = weight_y * weight_x * (constant + of_truth * a + of_guess * b);
                gradient[place] += (slope / corners.len() as f64) as f32;
            }
        }
    }
    gradient
}

/// First pixels of all windows that lie in an image wholly.
fn corners(height: usize, width: usize) -> Vec<usize> {
    let (down, across) = (height - WINDOW + 1, width - WINDOW + 1);
    (0..down).flat_map(|y| (0..across).map(move |x| y * width + x)).collect()
}

/// Weighted means over one window: of each image, of their squares and of their product.
struct SsimWindow {
    mean_a: f64,
    mean_b: f64,
    square_a: f64,
    square_b: f64,
    product: f64,
}

impl SsimWindow {
    /// The window whose first pixel is the first of the slices.
    fn new(a: &[f32], b: &[f32], width: usize, kernel: &[f64; WINDOW]) -> Self {
        let mut window = Self { mean_a: 0.0, mean_b: 0.0, square_a: 0.0, square_b: 0.0, product: 0.0 };
        for (y, weight_y) in kernel.iter().enumerate() {
            let row = y * width..y * width + WINDOW;
            for ((a, b), weight_x) in a[row.clone()].iter().zip(&b[row]).zip(kernel) {
                let (a, b, weight) = (f64::from(*a), f64::from(*b), weight_y * weight_x);
                window.mean_a += weight * a;
                window.mean_b += weight * b;
                window.square_a += weight * a * a;
                window.square_b += weight * b * b;
                window.product += weight * a * b;
            }
        }
        window
    }

    /// Both factors of the numerator, and both of the denominator.
    fn factors(&self) -> [f64; 4] {
        let means = self.mean_a * self.mean_b;
        let squares = self.mean_a * self.mean_a + self.mean_b * self.mean_b;
        let (c1, c2) = STABLE;
        [
            2.0 * means + c1,
            2.0 * (self.product - means) + c2,
            squares + c1,
            self.square_a + self.square_b - squares + c2,
        ]
    }

    fn similarity(&self) -> f64 {
        let [of_means, of_products, by_means, by_squares] = self.factors();
        of_means * of_products / (by_means * by_squares)
    }

    /// The slope of the similarity with respect to a pixel of the second image, by its weight: a constant, and what belongs to that
    /// pixel of the first image and of the second.
    fn slopes(&self) -> [f64; 3] {
        let [of_means, of_products, by_means, by_squares] = self.factors();
        let (below, similar) = (by_means * by_squares, self.similarity());
        let of_truth = 2.0 * of_means / below;
        let of_guess = -2.0 * similar / by_squares;
        let constant = self.mean_a * (2.0 * of_products / below - of_truth)
            - self.mean_b * (2.0 * similar / by_means + of_guess);
        [constant, of_truth, of_guess]
    }
}

fn gaussian() -> [f64; WINDOW] {
    let middle = (WINDOW / 2) as f64;
    let raw: [f64; WINDOW] = std::array::from_fn(|i| (-0.5 * ((i as f64 - middle) / SIGMA).powi(2)).exp());
    let sum: f64 = raw.iter().sum();
    raw.map(|weight| weight / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(height: usize, width: usize, value: impl Fn(usize, usize) -> f64) -> Vec<f32> {
        (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| value(y, x) as f32).collect()
    }

    fn check(height: usize, width: usize, images: [Vec<f32>; 2], expected: f64) {
        let found = ssim(&images[0], &images[1], height, width).unwrap();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    /// Against scikit-image 0.26:
    ///
    /// ```python
    /// options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
    /// y, x = np.mgrid[0:28, 0:14]
    /// a, b = ((3 * y + 5 * x) % 17) / 16, 0.8 * ((3 * y + 5 * x) % 17) / 16 + 0.1 * ((y * x) % 3) / 2
    /// structural_similarity(a, b, **options)  # 0.9555135645378381
    /// y, x = np.mgrid[0:28, 0:28]
    /// a, b = ((y * y + 3 * x) % 29) / 28, ((y * x + 7) % 29) / 28
    /// structural_similarity(a, b, **options)  # 0.08601158686528068
    /// ```
    #[test]
    fn ssim_agrees_with_scikit_image() {
        let stripes = |y, x| ((3 * y + 5 * x) % 17) as f64 / 16.0;
        let noisy = |y, x| 0.8 * stripes(y, x) + 0.1 * ((y * x) % 3) as f64 / 2.0;
        check(28, 14, [image(28, 14, stripes), image(28, 14, noisy)], 0.955_513_564_537_838_1);
        let one = |y: usize, x: usize| ((y * y + 3 * x) % 29) as f64 / 28.0;
        let other = |y: usize, x: usize| ((y * x + 7) % 29) as f64 / 28.0;
        check(28, 28, [image(28, 28, one), image(28, 28, other)], 0.086_011_586_865_280_68);
    }

    #[test]
    fn the_gradient_is_that_of_the_similarity() {
        let truth = image(12, 13, |y, x| ((3 * y + 5 * x) % 17) as f64 / 16.0);
        let guess = image(12, 13, |y, x| 0.3 + 0.4 * ((y * x + 2 * x) % 7) as f64 / 6.0);
        let gradient = ssim_gradient(&truth, &guess, 12, 13);
        for place in [0, 20, 70, 84, 155] {
            let moved = |by: f32| {
                let mut moved = guess.clone();
                moved[place] += by;
                ssim(&truth, &moved, 12, 13).unwrap()
            };
            let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!((slope - f64::from(gradient[place])).abs() < 1e-4, "{slope} {}", gradient[place]);
        }
    }

    #[test]
    fn ssim_of_the_same_image_is_one_and_small_images_have_none() {
        let picture = image(11, 12, |y, x| ((y * x) % 7) as f64 / 6.0);
        check(11, 12, [picture.clone(), picture.clone()], 1.0);
        assert_eq!(ssim(&picture[..110], &picture[..110], 10, 11), None);
    }

    #[test]
    fn psnr_of_known_errors() {
        assert!((psnr(0.01) - 20.0).abs() < 1e-12);
        assert!((psnr(1.0)).abs() < 1e-12);
        assert!(psnr(0.0).is_infinite());
        let found = peak_signal(&[0.005, 0.015, 0.01]);
        assert!((found.value - 20.0).abs() < 1e-9 && found.low < 19.0 && found.high > 21.0, "{found:?}");
    }
}
