//! Reports are as `docs/load-report.schema.json` says. The checker knows the words that the schema
//! uses, and no others.

use crate::common::program::Program;
use crate::common::serve;
use crate::{Counting, echo, load};
use serde_json::Value;

/// Returns where a report differs from the documented schema.
pub fn differences(report: &Value) -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/load-report.schema.json"));
    let schema: Value = serde_json::from_str(&text.expect("the schema is there")).expect("it is JSON");
    let mut found = Vec::new();
    check(&schema, &schema, report, "report", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        let is_right = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" => true,
            "$ref" => {
                let name = rule.as_str().expect("a text").trim_start_matches('#');
                check(root, root.pointer(name).expect("a definition"), value, path, found);
                true
            }
            "anyOf" => list(rule).iter().any(|schema| {
                let mut wrong = Vec::new();
                check(root, schema, value, path, &mut wrong);
                wrong.is_empty()
            }),
            "type" if rule.is_array() => list(rule).iter().any(|rule| has_type(value, rule)),
            "type" => has_type(value, rule),
            "const" => value == rule,
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().expect("a number")),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().expect("a number")),
            "required" => list(rule).iter().all(|name| value.get(name.as_str().expect("a text")).is_some()),
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(schema) => check(root, schema, value, &format!("{path}.{name}"), found),
                        // JSON schema allows this, so that fields can be added. They are to be
                        // documented nevertheless.
                        None => found.push(format!("{path}.{name} is not documented")),
                    }
                }
                true
            }
            "items" => {
                for (at, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{path}[{at}]"), found);
                }
                true
            }
            "prefixItems" => {
                for (schema, value) in list(rule).iter().zip(value.as_array().into_iter().flatten()) {
                    check(root, schema, value, path, found);
                }
                true
            }
            unknown => panic!("this checker does not know {unknown}"),
        };
        if !is_right {
            found.push(format!("{path} breaks {word}: {rule}"));
        }
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a text") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("this checker does not know the type {unknown}"),
    }
}

#[test]
fn reports_are_as_the_documented_schema_says() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let url = format!("ws://{}/", running.addr);
    let none =
        format!("ws://{}/", std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("free"));
    for (url, options) in [
        (&url, "-c 3 --hold 50ms"),
        (&url, "-c 3 --hold 1200ms --echo -m 100 --expect p99<1h,errors=7"),
        (&url, "-c 4 --processes 2 --hold 300ms --echo --deflate --churn 5/s"),
        (&url, "-c 3 --hold 100ms --until p99<1s --duration 2s"),
        (&none, "-c 3"),
    ] {
        assert_eq!(differences(&load(url, options).report), [""; 0], "{options}");
    }
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let addr = program.ready();
    let run = load(&format!("ws://{addr}/broadcast"), "-c 5 --subscribe --hold 300ms");
    assert_eq!(differences(&run.report), [""; 0]);
}

type Change = fn(&mut Value);

#[test]
fn a_report_that_breaks_the_schema_is_found() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let report = load(&format!("ws://{}/", running.addr), "-c 1 --hold 500ms --echo -m 20").report;
    let changes: [(Change, &str); 6] = [
        (|report| report["schema"] = 2.into(), "report.schema breaks const"),
        (|report| report["elapsed_s"] = "long".into(), "report.elapsed_s breaks type"),
        (|report| report["messages"]["sent"] = (-1).into(), "report.messages.sent breaks minimum"),
        (|report| report["histograms"]["connect"][0][1] = 0.5.into(), "report.histograms.connect[0] breaks type"),
        (|report| report["series"][0]["more"] = 1.into(), "report.series[0].more is not documented"),
        (|report| drop(report["latency"].as_object_mut().map(|it| it.remove("tls"))), "report.latency breaks required"),
    ];
    for (change, expected) in changes {
        let mut report = report.clone();
        change(&mut report);
        let found = differences(&report);
        assert!(found.iter().any(|found| found.starts_with(expected)), "{expected}: {found:?}");
    }
}
