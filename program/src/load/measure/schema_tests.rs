//! Compares `docs/load-report.schema.json` with the structs of the report, of which it is made.

use super::report::Report;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::path::PathBuf;

/// Returns the schema of what is written.
fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Report>().to_value();
    plain(&mut schema);
    schema["title"] = "The report of lariat load".into();
    schema["properties"]["schema"]["const"] = 1.into();
    schema
}

/// Removes what says nothing to a reader: the defaults, and the line breaks of comments.
fn plain(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.remove("default");
        if let Some(Value::String(text)) = fields.get_mut("description") {
            *text = text.replace('\n', " ");
        }
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(plain),
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

#[test]
fn the_documented_schema_is_that_of_the_structs() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/load-report.schema.json"));
    let text = serde_json::to_string_pretty(&schema()).expect("it is JSON") + "\n";
    if std::env::var_os("LARIAT_WRITE_SCHEMA").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).expect("the file can be written");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == text,
        "docs/load-report.schema.json differs from the structs in report.rs. Renew it: \
         LARIAT_WRITE_SCHEMA=1 cargo test -p lariat-cli --lib the_documented_schema"
    );
}
