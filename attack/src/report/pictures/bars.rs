//! The answers as bars: what an attacker gets without the code, with it, and from floats.

use maud::{Markup, html};

use crate::report::Metric;
use crate::report::answers::{StrongestAttack, answers};
use crate::report::model::{Estimate, Report};

/// The picture, or nothing without answers.
pub fn figure(report: &Report) -> Markup {
    let answers = answers(report);
    html! {
        @if !answers.is_empty() {
            figure.bars {
                figcaption { "What the strongest attack gets" }
                @for answer in &answers { (group(answer)) }
            }
        }
    }
}

fn group(answer: &StrongestAttack) -> Markup {
    let StrongestAttack { metric, reached, baseline, floats, .. } = answer;
    html! {
        p { (answer.about()) ": " (what(*metric)) (metric.unit()) }
        @if let Some((_, base)) = baseline {
            (bar("without", &format!("without {}", answer.without()), *metric, *base))
        }
        (bar("with", &format!("with {}", answer.without()), *metric, *reached))
        @if let Some((_, found)) = floats {
            (bar("floats", "from floats (simulated)", *metric, *found))
        }
    }
}

/// What a bar's length shows.
fn what(metric: Metric) -> String {
    match metric {
        Metric::Skill => "variance explained".to_string(),
        Metric::Accuracy => "guessed right".to_string(),
        Metric::Top1 => "found".to_string(),
        other => other.to_string(),
    }
}

fn bar(class: &str, name: &str, metric: Metric, estimate: Estimate) -> Markup {
    let percent = |value: f64| 100.0 * value.clamp(0.0, 1.0);
    let (low, high) = (percent(estimate.low), percent(estimate.high));
    html! {
        div.bar {
            span.name { (name) }
            span.track {
                i class=(class) style=(format!("width:{:.1}%", percent(estimate.value))) {}
                b style=(format!("left:{low:.1}%;width:{:.1}%", high - low)) {}
            }
            span.value { (metric.number(estimate.value)) small { (metric.range(estimate)) } }
        }
    }
}
