//! Lines for a person begin with whom they are about: `bank: joined`, where the event has `party = bank` as a field.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// The fields that say whom an event is about.
const SUBJECTS: [&str; 2] = ["party", "holder"];

fn is_subject(field: &Field) -> bool {
    SUBJECTS.contains(&field.name())
}

/// Fields as usual, with the subject of an event before its message.
pub(super) struct SubjectFirst;

impl<'writer> FormatFields<'writer> for SubjectFirst {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut found = FoundSubject::default();
        fields.record(&mut found);
        // A span has no message: what it is about stays among its fields.
        let subject = found.subject.filter(|_| found.has_message);
        if let Some(subject) = &subject {
            write!(writer, "{subject}: ")?;
        }
        let mut others =
            OtherFields { visitor: DefaultVisitor::new(writer, true), is_told: subject.is_some() };
        fields.record(&mut others);
        others.visitor.finish()
    }
}

/// Looks for the subject of an event.
#[derive(Default)]
struct FoundSubject {
    subject: Option<String>,
    has_message: bool,
}

impl Visit for FoundSubject {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if is_subject(field) {
            self.subject = Some(format!("{value:?}"));
        }
        self.has_message |= field.name() == "message";
    }
}

/// Writes all fields, without the subject where that is told already.
struct OtherFields<'writer> {
    visitor: DefaultVisitor<'writer>,
    is_told: bool,
}

impl OtherFields<'_> {
    fn writes(&self, field: &Field) -> bool {
        !(self.is_told && is_subject(field))
    }
}

impl Visit for OtherFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.writes(field) {
            self.visitor.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.writes(field) {
            self.visitor.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.visitor.record_error(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{fmt, registry};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_begins_with_whom_it_is_about() {
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .fmt_fields(SubjectFirst);
        tracing::subscriber::with_default(registry().with(layer), || {
            let _run = info_span!("coordinator", run = "spring", party = 7).entered();
            info!(party = %"bank", epoch = 3, "joined");
            info!(epoch = 4, "done");
        });
        let said = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].ends_with("INFO coordinator{run=\"spring\" party=7}: bank: joined epoch=3"),
            "{said}"
        );
        assert!(lines[1].ends_with("INFO coordinator{run=\"spring\" party=7}: done epoch=4"), "{said}");
    }
}
