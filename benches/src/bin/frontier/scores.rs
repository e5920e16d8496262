//! The table of codes as scores: what a short code tells beside the columns that made it.

use hashvfl_attack::frontier::{AsScore, LabelsOfEpoch};
use hashvfl_attack::report::{Estimate, Metric};

use crate::row::{Frontier, Row, over_seeds};
use crate::table::{Cells, percent};

/// Cells of the forms that were measured as scores; none where none was.
pub fn cells(frontier: &Frontier) -> Cells {
    let heads = [
        "sent by a party",
        "label from one code, AUC",
        "labels from own gradients, first epoch, AUC",
        "last epoch",
        "code from prediction and other codes",
        "from other codes alone",
        "code from columns, learned from auxiliary records",
        "columns from one code, all records",
        "the most extreme codes",
    ];
    let rows = frontier.rows.iter().filter_map(row).collect();
    Cells { heads: heads.map(String::from).to_vec(), rows }
}

fn row(row: &Row) -> Option<Vec<String>> {
    let scores: Option<Vec<&AsScore>> = row.runs.iter().map(|run| run.as_score.as_ref()).collect();
    let scores = scores?;
    let over = |of: fn(&AsScore) -> Estimate| over_seeds(scores.iter().map(|score| of(score)).collect());
    let of_epoch = |epoch: fn(&[LabelsOfEpoch]) -> Option<&LabelsOfEpoch>| {
        let found: Option<Vec<_>> = scores.iter().map(|score| epoch(&score.label_of_gradients)).collect();
        let found = found?;
        let auc = over_seeds(found.iter().map(|labels| labels.auc).collect());
        Some(format!("{} ({})", area(auc), found[0].attack))
    };
    Some(vec![
        row.form.clone(),
        area(over(|score| score.label_of_code)),
        of_epoch(<[_]>::first)?,
        of_epoch(<[_]>::last)?,
        percent(over(|score| score.code_of_prediction.with)),
        percent(over(|score| score.code_of_prediction.without)),
        percent(over(|score| score.copied)),
        percent(row.one_code.with),
        percent(over(|score| score.columns_at_ends)),
    ])
}

fn area(figure: Estimate) -> String {
    format!("{} ({})", Metric::Auc.number(figure.value), Metric::Auc.range(figure))
}
