//! Handwritten digits of 8 x 8 pixels (UCI Optical Recognition of Handwritten Digits; from the smartcore crate),
//! cut into a left and a right half.

use std::fmt::Write;

use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;
use smartcore::dataset::digits;

const SIDE: usize = 8;
const HALF: usize = SIDE / 2;

/// The digits, as the two parties and the coordinator hold them.
pub struct Digits {
    /// Pixels of the left and of the right half: [records, 32] each.
    pub halves: [Matrix; 2],
    /// The digit of each record.
    classes: Vec<u32>,
}

impl Digits {
    /// The number of classes.
    pub const CLASSES: usize = 10;
    /// Channels, height and width of a half.
    pub const HALF_SHAPE: [usize; 3] = [1, SIDE, HALF];

    /// Loads the data that comes with the crate.
    pub fn load() -> Self {
        let digits = digits::load_dataset();
        let half = |start: usize| {
            let rows = digits.data.chunks_exact(SIDE);
            let values: Vec<f32> = rows.flat_map(|row| row[start..start + HALF].to_vec()).collect();
            // Unwrap safety: every image gives as many finite pixels.
            Matrix::new(digits.num_samples, SIDE * HALF, values).expect("half of each image")
        };
        let classes = digits.target.iter().map(|class| *class as u32).collect();
        Self { halves: [half(0), half(HALF)], classes }
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.classes.len()
    }

    /// The class of each record.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// The labels, for baselines.
    pub fn labels(&self) -> Labels {
        Labels::Classes { count: Self::CLASSES, index: self.classes.clone() }
    }

    /// A party's table as CSV.
    pub fn table(&self, half: usize) -> String {
        let mut text = String::from("id");
        (0..SIDE * HALF).for_each(|pixel| {
            let (row, column) = (pixel / HALF, pixel % HALF + half * HALF);
            let _ = write!(text, ",pixel_{row}_{column}");
        });
        for row in 0..self.records() {
            let _ = write!(text, "\n{row}");
            self.halves[half].row(row).iter().for_each(|value| {
                let _ = write!(text, ",{value}");
            });
        }
        text + "\n"
    }

    /// The label holder's table as CSV.
    pub fn label_table(&self) -> String {
        let rows = self.classes.iter().enumerate();
        rows.fold("id,digit\n".to_string(), |text, (row, class)| text + &format!("{row},{class}\n"))
    }
}
