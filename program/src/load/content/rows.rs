//! The rows of `--data`: one for each connection.

use csv::StringRecord;
use std::path::Path;

/// The rows of a CSV file. The first line names the columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    names: Vec<String>,
    rows: Vec<StringRecord>,
    share: Share,
}

/// What happens if there are more connections than rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Share {
    /// The run is refused: each connection needs a row of its own
    #[default]
    Own,
    /// The rows begin again
    Cycle,
    /// Only as many connections are opened as there are rows
    End,
}

impl Rows {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the file, and the line where it can.
    pub(crate) fn read(path: &Path, share: Share) -> Result<Rows, String> {
        let wrong = |error: csv::Error| match error.kind() {
            csv::ErrorKind::Io(error) => format!("--data {}: cannot read this file: {error}", path.display()),
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                format!("--data {}, line {line}: {len} columns, and {expected_len} in the first line", path.display())
            }
            _ => format!("--data {}: {error}", path.display()),
        };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_path(path).map_err(wrong)?;
        let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        let named = |name: &String| !name.is_empty() && !["id", "seq", "time", "uuid"].contains(&name.as_str());
        if let Some(name) = names.iter().find(|name| !named(name) || name.contains(['{', '}', ':'])) {
            return Err(format!(
                "--data {}: {name:?} cannot be the name of a column: the first line names the columns, and {{id}}, {{seq}}, {{time}} and {{uuid}} have a meaning",
                path.display()
            ));
        }
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        if rows.is_empty() {
            return Err(format!("--data {}: there is no row after the names of the columns", path.display()));
        }
        Ok(Rows { names, rows, share })
    }

    /// Returns the names of the columns.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns how many of so many connections can be opened.
    ///
    /// # Errors
    ///
    /// Each needs its own row, and there are fewer.
    pub(crate) fn connections(&self, asked: u32) -> Result<u32, String> {
        let rows = u32::try_from(self.len()).unwrap_or(u32::MAX);
        match self.share {
            _ if rows >= asked || self.names.is_empty() => Ok(asked),
            Share::Cycle => Ok(asked),
            Share::End => Ok(rows),
            Share::Own => Err(format!(
                "--data has {rows} rows for {asked} connections: use fewer connections, or --rows cycle or --rows end"
            )),
        }
    }

    /// Returns the value of a column for a connection.
    pub(crate) fn value(&self, connection: u32, column: usize) -> &str {
        let count = self.rows.len().max(1);
        self.rows.get(connection as usize % count).and_then(|row| row.get(column)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, share: Share) -> Result<Rows, String> {
        let path = std::env::temp_dir().join(format!("lariat-rows-{}-{}", std::process::id(), content.len()));
        std::fs::write(&path, content).expect("a file");
        let rows = Rows::read(&path, share);
        std::fs::remove_file(&path).expect("it is there");
        rows
    }

    #[test]
    fn each_connection_has_a_row() {
        let rows = read("user, token\nann,1\n\"b,\n{id}\",\"say \"\"x\"\"\"\n", Share::Cycle).expect("it is CSV");
        assert_eq!((rows.names(), rows.len()), (&["user".to_owned(), "token".to_owned()][..], 2));
        assert_eq!((rows.value(1, 0), rows.value(1, 1)), ("b,\n{id}", "say \"x\""));
        assert_eq!((rows.value(2, 0), rows.value(3, 1), rows.value(0, 2)), ("ann", "say \"x\"", ""));
        assert_eq!(rows.connections(1_000), Ok(1_000));
        let end = Rows { share: Share::End, ..rows.clone() };
        assert_eq!((end.connections(1), end.connections(1_000)), (Ok(1), Ok(2)));
        let own = Rows { share: Share::Own, ..rows };
        assert_eq!(own.connections(2), Ok(2));
        assert!(own.connections(3).unwrap_err().contains("2 rows for 3 connections"));
    }

    #[test]
    fn files_that_are_wrong_name_the_line() {
        for (content, expected) in [
            ("", "no row"),
            ("a,b\n", "no row"),
            ("a,b\n1,2\n1\n", "line 3"),
            ("a,\n1,2\n", "\"\""),
            ("a,id\n1,2\n", "\"id\""),
            ("a{,b\n1,2\n", "\"a{\""),
        ] {
            let error = read(content, Share::Own).expect_err("it is wrong");
            assert!(error.contains(expected), "{content:?}: {error}");
        }
        assert!(Rows::read(Path::new("/no/such/file"), Share::Own).unwrap_err().contains("/no/such/file"));
    }
}
