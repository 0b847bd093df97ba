//! The report as JUnit XML, which CI servers show as passed and failed tests.
//!
//! A suite with a test case for the run itself, one for each expectation, and one for each step of
//! a scenario.

use crate::load::measure::{Detail, Report, ScenarioStep};
use crate::terminal::plain;
use crate::terminal::units::counted;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;

/// A check, and why it failed.
struct Case {
    /// What kind of check this is.
    class: &'static str,
    name: String,
    time_s: Option<f64>,
    failure: Option<Failed>,
}

struct Failed {
    message: String,
    details: String,
}

/// Returns the report as an XML document.
pub(super) fn junit(report: &Report) -> io::Result<String> {
    let cases: Vec<Case> = std::iter::once(run(report)).chain(expectations(report)).chain(steps(report)).collect();
    let failures = cases.iter().filter(|case| case.failure.is_some()).count().to_string();
    let (tests, time) = (cases.len().to_string(), seconds(report.elapsed_s));
    let name = xml_text(&format!("lariat load {}", report.asked.urls.join(" ")));
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let counts =
        [("tests", &tests), ("failures", &failures), ("time", &time)].map(|(name, value)| (name, value.as_str()));
    let suites = writer.create_element("testsuites").with_attributes(counts);
    suites.write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attribute(("name", name.as_str())).with_attributes(counts);
        let suite = suite.with_attributes([("errors", "0"), ("skipped", "0")]);
        suite.write_inner_content(|writer| cases.iter().try_for_each(|case| write(writer, case)))?;
        Ok(())
    })?;
    let text = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    Ok(text + "\n")
}

fn write(writer: &mut Writer<Vec<u8>>, case: &Case) -> io::Result<()> {
    let (name, time) = (xml_text(&case.name), case.time_s.map(seconds));
    let mut element = writer.create_element("testcase");
    element = element.with_attributes([("classname", case.class), ("name", name.as_str())]);
    element = element.with_attributes(time.as_deref().map(|time| ("time", time)));
    let Some(Failed { message, details }) = &case.failure else {
        element.write_empty()?;
        return Ok(());
    };
    element.write_inner_content(|writer| {
        let message = xml_text(message);
        let failure = writer.create_element("failure").with_attributes([("type", case.class), ("message", &message)]);
        failure.write_text_content(BytesText::new(&xml_text(details)))?;
        Ok(())
    })?;
    Ok(())
}

/// The run itself. It fails only if the exit code of the run says so as well.
fn run(report: &Report) -> Case {
    let mut wrong = report.faults();
    if !wrong.is_empty() && report.ended != "complete" {
        wrong.insert(0, format!("ended early: {}", report.ended));
    }
    let errors = report.errors.iter().map(|error| format!("{} {}: {}", error.count, error.kind, error.sentence()));
    let limits = report.limits.iter().map(|limit| format!("limited by {}: {}", limit.limit, limit.evidence));
    let details = || errors.chain(limits).collect::<Vec<_>>().join("\n");
    Case {
        class: "lariat.load",
        name: "run".to_owned(),
        time_s: Some(report.elapsed_s),
        failure: (!wrong.is_empty()).then(|| Failed { message: wrong.join("; "), details: details() }),
    }
}

fn expectations(report: &Report) -> impl Iterator<Item = Case> + '_ {
    report.expectations.iter().map(|expected| Case {
        class: "lariat.load.expect",
        name: expected.expectation.clone(),
        time_s: None,
        failure: (!expected.holds).then(|| Failed {
            message: format!("{} does not hold: measured {}", expected.expectation, expected.measured),
            details: String::new(),
        }),
    })
}

fn steps(report: &Report) -> impl Iterator<Item = Case> + '_ {
    let failed = |step: &ScenarioStep| Failed {
        message: format!("failed {}, done {}", counted(step.failed, "time"), counted(step.done, "time")),
        details: step.failures.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    report.steps.iter().map(move |step| Case {
        class: "lariat.load.scenario",
        name: format!("line {}: {}", step.line, step.text),
        time_s: None,
        failure: (step.failed > 0).then(|| failed(step)),
    })
}

fn line(detail: &Detail) -> String {
    format!("{}: {}", counted(detail.count, "time"), detail.text)
}

/// Writes a time as JUnit has it: in seconds, to the millisecond.
fn seconds(time_s: f64) -> String {
    format!("{time_s:.3}")
}

/// Returns the text without characters that XML 1.0 cannot hold, even escaped. Control characters
/// are shown by their numbers.
fn xml_text(text: &str) -> String {
    plain(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::Expected;

    /// Returns the report of a run that went well.
    fn good() -> Report {
        let mut report = Report { ended: "complete".to_owned(), elapsed_s: 1.5, ..Report::default() };
        report.asked.urls = vec!["ws://host/".to_owned()];
        report.connections.opened = 1;
        report
    }

    fn xml(report: &Report) -> String {
        junit(report).expect("it is written to memory")
    }

    #[test]
    fn a_run_that_went_well_has_one_case_that_passes() {
        let xml = xml(&good());
        assert!(xml.contains("tests=\"1\" failures=\"0\" time=\"1.500\""), "{xml}");
        assert!(xml.contains("<testcase classname=\"lariat.load\" name=\"run\" time=\"1.500\"/>"), "{xml}");
    }

    #[test]
    fn each_expectation_and_each_step_is_a_case() {
        let mut report = good();
        let expected = |text: &str, holds| Expected { expectation: text.to_owned(), measured: "7".to_owned(), holds };
        report.expectations = vec![expected("errors=0", false), expected("p99<1s", true)];
        let failures = vec![Detail { count: 2, text: "said \"no\"".to_owned() }];
        let text = "expect <b>".to_owned();
        let step = ScenarioStep { line: 3, text, done: 1, failed: 2, failures, ..ScenarioStep::default() };
        report.steps = vec![ScenarioStep { failed: 0, ..step.clone() }, step];
        let xml = xml(&report);
        assert!(xml.contains("tests=\"5\" failures=\"2\""), "{xml}");
        assert!(xml.contains("message=\"errors=0 does not hold: measured 7\""), "{xml}");
        assert!(xml.contains("name=\"line 3: expect &lt;b&gt;\""), "{xml}");
        assert!(xml.contains(">2 times: said &quot;no&quot;</failure>"), "{xml}");
    }

    #[test]
    fn a_run_that_opened_nothing_or_lost_a_process_fails_as_its_exit_code_says() {
        for (change, is_failed) in [
            (|report: &mut Report| report.ended = "interrupted by a signal".to_owned(), false),
            (|report: &mut Report| report.connections.opened = 0, true),
            (|report: &mut Report| report.client.processes_lost = 1, true),
        ] as [(fn(&mut Report), bool); 3]
        {
            let mut report = good();
            change(&mut report);
            let failures = format!("tests=\"1\" failures=\"{}\"", u8::from(is_failed));
            assert!(xml(&report).contains(&failures) && report.is_good() != is_failed, "{report:?}");
            report.ended = "interrupted by a signal".to_owned();
            assert_eq!(xml(&report).contains("ended early: interrupted by a signal"), is_failed);
        }
    }

    #[test]
    fn no_character_that_xml_forbids_is_written() {
        let every: String = (0..=0xffff_u32).filter_map(char::from_u32).chain("]]><![CDATA[\"'".chars()).collect();
        let mut report = good();
        report.ended.clone_from(&every);
        report.asked.urls = vec![every];
        let is_allowed = |c: char| matches!(c, '\n' | ' '..='\u{fffd}' | '\u{10000}'..) && c != '\u{7f}';
        let xml = xml(&report);
        assert_eq!(xml.chars().find(|c| !is_allowed(*c)), None);
        assert!(!xml.contains("]]>"));
    }
}
