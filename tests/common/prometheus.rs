//! A strict parser for the text format of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A metric with its type and samples. The samples of a histogram have their full names.
#[derive(Debug, Default)]
pub struct Metric {
    pub kind: String,
    pub samples: Vec<(String, Labels, f64)>,
}

/// Parses version 0.0.4 of the text format.
pub fn parse(text: &str) -> BTreeMap<String, Metric> {
    assert!(text.ends_with('\n'), "the last line does not end with a line feed");
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let (mut helped, mut current) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "a second help for {name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(helped.contains(name) && !metrics.contains_key(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            current = name.to_owned();
            metrics.insert(current.clone(), Metric { kind: kind.to_owned(), samples: Vec::new() });
        } else {
            let sample = parse_sample(line);
            let metric = metrics.get_mut(&current).unwrap_or_else(|| panic!("no type before {line}"));
            let suffix = sample.0.strip_prefix(&current).unwrap_or_else(|| panic!("{line} belongs to {current}"));
            let is_right = match metric.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            let is_new = metric.samples.iter().all(|(name, labels, _)| (name, labels) != (&sample.0, &sample.1));
            assert!(is_right && is_new, "{line}");
            metric.samples.push(sample);
        }
    }
    metrics
}

fn parse_sample(line: &str) -> (String, Labels, f64) {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number in {line}"));
    let Some((name, rest)) = series.split_once('{') else {
        assert!(is_name(series), "{line}");
        return (series.to_owned(), Labels::new(), value);
    };
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("no end of the labels in {line}"));
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label in {line}"));
        let (content, after) = unescape(after).unwrap_or_else(|| panic!("a label without end in {line}"));
        assert!(is_name(label) && labels.insert(label.to_owned(), content).is_none(), "{line}");
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(after.is_empty() || after.starts_with(','), "{line}");
    }
    (name.to_owned(), labels, value)
}

/// Returns the text up to the next quotation mark that is not escaped, and the rest.
fn unescape(text: &str) -> Option<(String, &str)> {
    let (mut content, mut chars) = (String::new(), text.char_indices());
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((content, &text[index + 1..])),
            '\\' => content.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                c => panic!("\\{c} is not an escape"),
            }),
            c => content.push(c),
        }
    }
    None
}

impl Metric {
    pub fn one(&self) -> f64 {
        assert_eq!(self.samples.len(), 1, "{self:?}");
        self.samples[0].2
    }

    pub fn at(&self, label: &str, content: &str) -> f64 {
        let found =
            self.samples.iter().filter(|(_, labels, _)| labels.get(label).is_some_and(|found| found == content));
        found.map(|(_, _, value)| value).sum()
    }
}
