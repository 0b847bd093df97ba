//! A frame's header: decoding and encoding give the same bytes, and no later byte changes the
//! result.

#![no_main]

use lariat::protocol::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = Header::decode(data);
    for end in 0..data.len().min(MAX_HEADER + 1) {
        match Header::decode(&data[..end]) {
            Ok(None) => assert!(end < MAX_HEADER, "a header is at most this long"),
            said => assert_eq!(said, whole, "after {end} bytes"),
        }
    }
    if let Ok(Some((header, length))) = whole {
        assert!(length <= MAX_HEADER);
        assert!(header.length >> 63 == 0);
        assert!(!header.opcode.is_control() || (header.fin && header.length <= MAX_CONTROL_PAYLOAD as u64));
        let mut encoded = b"before".to_vec();
        header.encode(&mut encoded);
        assert_eq!(&encoded[6..], &data[..length]);
        assert_eq!(header.to_bytes(), &data[..length]);
    }
});
