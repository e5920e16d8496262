//! Labels of which few are of one class: a gradient monitor must not take an honest run for a hijack.

use crate::fixture::{Fixture, RECORDS};

/// A fixture of 20 epochs whose labels are 1 for one record in forty.
fn rare() -> Fixture {
    let mut fixture = Fixture::new();
    (fixture.settings.epochs, fixture.settings.learning_rate) = (20, 0.01);
    let mut labels = "id,y\n".to_string();
    for record in 0..RECORDS {
        labels += &format!("r{record},{}\n", u8::from(record % 40 == 7));
    }
    fixture.write("labels.csv", &labels);
    fixture
}

#[test]
fn a_linear_top_model_on_a_rare_class_raises_no_alarm() {
    for top in ["top = { hidden = [] }", "top = { hidden = [], loss = { consistency = 1.0 } }"] {
        let mut fixture = rare();
        fixture.extra.push(("coordinator", top.into()));
        // Parties stop at an alarm, and the run with them.
        fixture.run();
        assert_eq!(fixture.summary()["epochs"].as_array().unwrap().len(), 20, "{top}");
    }
}
