//! The PROXY protocol: no later byte changes the result for the first bytes.

#![no_main]

use lariat::protocol::proxy::{MAX_BLOCK, MAX_LINE, ProxyHeader, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = decode(data);
    let most = if data.first() == Some(&b'P') { MAX_LINE } else { MAX_BLOCK };
    // Every cut of a short input, and some cuts of a long one.
    let step = (data.len() / 300).max(1);
    for end in (0..data.len()).step_by(step) {
        match decode(&data[..end]) {
            Ok(None) => assert!(end < most, "{end} bytes are not enough"),
            said => assert_eq!(said, whole, "after {end} of {}", data.escape_ascii()),
        }
    }
    match whole {
        Ok(None) => assert!(data.len() < most),
        Ok(Some((header, length))) => {
            assert!(length <= most && length <= data.len());
            if let (ProxyHeader::Proxied { source }, b'P') = (header, data[0]) {
                let text = std::str::from_utf8(&data[..length]).expect("a line in ASCII");
                assert!(text.ends_with("\r\n") && text.contains(&source.port().to_string()), "{text}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
