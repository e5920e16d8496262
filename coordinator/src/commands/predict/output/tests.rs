//! Predictions that were written are read back, by other readers, to the bit; what cannot be written is refused.

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;

fn model(classes: &[String]) -> Model {
    Model {
        parties: vec!["bank".into(), "tele,com".into()],
        classes: classes.to_vec(),
        flag_level: 0.01,
        ..Model::default()
    }
}

/// An answer about as many records as there are outcomes; `numbers` gives a value or a share for each.
fn answer(predicted: &[bool], classes: usize, numbers: &[f32]) -> Predictions {
    let count = predicted.iter().filter(|predicted| **predicted).count();
    let mut number = numbers.iter().copied().cycle();
    let outcome = |predicted: &bool| if *predicted { Outcome::Predicted } else { Outcome::UnknownId };
    Predictions {
        outcomes: predicted.iter().map(|predicted| i32::from(outcome(predicted))).collect(),
        took_part: vec![3; count],
        p_values: (0..count).map(|at| if at == 1 { f32::NAN } else { number.next().unwrap() }).collect(),
        flagged: vec![true; count],
        values: if classes == 0 { number.by_ref().take(count).collect() } else { Vec::new() },
        classes: if classes == 0 { Vec::new() } else { (0..count).map(|at| (at % classes) as u32).collect() },
        probabilities: number.by_ref().take(count * classes).collect(),
        ..Predictions::default()
    }
}

fn written(
    name: &str,
    ids: &[String],
    classes: &[String],
    answer: &Predictions,
) -> anyhow::Result<Vec<Vec<String>>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    let mut output = Output::create(&path, &model(classes))?;
    output.write(ids, answer)?;
    output.finish()?;
    if name.ends_with("csv") {
        let mut reader = csv::Reader::from_path(&path)?;
        return reader.records().map(|record| Ok(record?.iter().map(str::to_owned).collect())).collect();
    }
    let reader = SerializedFileReader::new(File::open(&path)?)?;
    let cell = |field: &Field| match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Float(number) => number.to_string(),
        other => panic!("a cell of another type: {other:?}"),
    };
    reader
        .get_row_iter(None)?
        .map(|row| Ok(row?.get_column_iter().map(|(_, field)| cell(field)).collect()))
        .collect()
}

proptest! {
    #![proptest_config(Config { cases: 120, rng_seed: RngSeed::Fixed(22), failure_persistence: None, ..Config::default() })]

    #[test]
    fn predictions_come_back_to_the_bit(
        records in prop::collection::vec(("[a-c,\"\n ]{0,3}[é\u{301}\u{feff}0-9]{1,3}", any::<bool>()), 1..8),
        classes in prop::collection::hash_set("[a-c ,\"é]{1,3}", 0..4),
        numbers in prop::collection::vec(any::<f32>().prop_filter("finite", |number| number.is_finite()), 1..9),
    ) {
        let classes: Vec<String> = classes.into_iter().collect();
        let (ids, predicted): (Vec<String>, Vec<bool>) = records.into_iter().unzip();
        let answer = answer(&predicted, classes.len(), &numbers);
        let csv = written("a.csv", &ids, &classes, &answer).unwrap();
        prop_assert_eq!(&csv, &written("a.parquet", &ids, &classes, &answer).unwrap());
        prop_assert_eq!(csv.len(), ids.len());
        let mut at = 0;
        for ((id, predicted), row) in ids.iter().zip(&predicted).zip(&csv) {
            prop_assert_eq!(id, &row[0]);
            if !predicted {
                prop_assert_eq!(&row[1], "unknown id");
                prop_assert!(row[2..].iter().all(String::is_empty));
                continue;
            }
            let shares = &answer.probabilities[at * classes.len()..(at + 1) * classes.len()];
            let behind = if classes.is_empty() {
                prop_assert_eq!(row[2].parse::<f32>().unwrap().to_bits(), answer.values[at].to_bits());
                3
            } else {
                let class = answer.classes[at] as usize;
                prop_assert_eq!(&row[2], &classes[class]);
                prop_assert_eq!(row[3].parse::<f32>().unwrap().to_bits(), shares[class].to_bits());
                for (cell, share) in row[4..].iter().zip(shares) {
                    prop_assert_eq!(cell.parse::<f32>().unwrap().to_bits(), share.to_bits());
                }
                4 + classes.len()
            };
            prop_assert_eq!(&row[behind], "bank+tele,com");
            let p_value = answer.p_values[at];
            prop_assert_eq!(row[behind + 1].is_empty(), p_value.is_nan());
            prop_assert!(p_value.is_nan() || row[behind + 1].parse::<f32>().unwrap().to_bits() == p_value.to_bits());
            at += 1;
        }
    }
}

#[test]
fn a_prediction_that_is_no_number_is_no_empty_cell() {
    let ids = ["k1".to_owned()];
    for number in [f32::NAN, f32::INFINITY] {
        let mut of_values = answer(&[true], 0, &[0.5]);
        of_values.values = vec![number];
        let mut of_classes = answer(&[true], 2, &[0.5]);
        of_classes.probabilities[1] = number;
        let classes = ["no".to_owned(), "yes".to_owned()];
        for (classes, answer) in [(&[][..], of_values), (&classes[..], of_classes)] {
            let message = written("a.csv", &ids, classes, &answer).unwrap_err().to_string();
            assert!(message.contains("no finite numbers"), "{message}");
        }
    }
}
