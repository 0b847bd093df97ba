//! Reads reports from files. The files come from anywhere, so nothing in them is taken for
//! granted.

use super::measure::Report;
use super::plan::Usage;
use serde_json::Value;
use std::path::Path;

/// All numbers of a report together are not larger than this. So the sums of 200 reports do not
/// overflow.
const LARGEST: f64 = 72_057_594_037_927_936.0;

/// Reads a report that `--json` wrote.
pub(crate) fn read(path: &Path) -> Result<Report, Usage> {
    let named = |why: String| Usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(format!("cannot read it: {error}")))?;
    parse(&text).map_err(named)
}

fn parse(text: &str) -> Result<Report, String> {
    let none = "this is no report; write one with lariat load URL --json FILE";
    let value: Value = serde_json::from_str(text).map_err(|error| format!("{none} ({error})"))?;
    let schema = value.get("schema").and_then(Value::as_u64).ok_or(none)?;
    if schema != 1 {
        return Err(format!("its schema is {schema}, and this lariat knows schema 1; use one lariat for all reports"));
    }
    if value.pointer("/asked/mode").is_none() || value.get("series").is_none() {
        return Err(none.to_owned());
    }
    if value.get("histograms").is_none() {
        return Err("it has no histograms: an older lariat wrote it; run again".to_owned());
    }
    if sum(&value).is_none_or(|sum| sum > LARGEST) {
        return Err("it has numbers that no run measures".to_owned());
    }
    serde_json::from_value(value).map_err(|error| format!("this is no whole report: {error}"))
}

/// Returns the sum of all numbers, or `None` if one is negative. A seed may be any number, and is
/// never added up.
fn sum(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|number| *number >= 0.0),
        Value::Array(items) => items.iter().map(sum).sum(),
        Value::Object(fields) => fields.iter().filter(|(name, _)| *name != "seed").map(|(_, value)| sum(value)).sum(),
        _ => Some(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: fn(&mut Value)) -> String {
        let mut value = serde_json::to_value(Report { schema: 1, ..Report::default() }).expect("it is JSON");
        change(&mut value);
        parse(&value.to_string()).map(|_| ()).expect_err("it is wrong")
    }

    #[test]
    fn a_report_of_a_later_version_with_more_fields_is_read() {
        let mut value = serde_json::to_value(Report { schema: 1, ..Report::default() }).expect("it is JSON");
        value["something"] = "new".into();
        value["asked"]["seed"] = u64::MAX.into();
        value.as_object_mut().expect("an object").remove("compression");
        assert!(parse(&value.to_string()).is_ok());
    }

    #[test]
    fn what_is_no_report_is_refused_with_the_reason() {
        for text in ["", "{", "[]", "7", "{}", "{\"schema\": \"1\"}", "{\"schema\": 1}"] {
            assert!(parse(text).is_err_and(|why| why.contains("no report")), "{text:?}");
        }
        assert!(refusal(|value| value["schema"] = 2.into()).contains("schema is 2"));
        assert!(
            refusal(|value| drop(value.as_object_mut().map(|fields| fields.remove("histograms")))).contains("older")
        );
        assert!(refusal(|value| value["messages"]["sent"] = u64::MAX.into()).contains("no run measures"));
        assert!(refusal(|value| value["elapsed_s"] = (-1.0).into()).contains("no run measures"));
        assert!(refusal(|value| value["messages"]["sent"] = "many".into()).contains("no whole report"));
    }
}
