//! Chapter 14, TLS.

// ---- 1 ------------------------------------------------------------------------------------------

/// A TLS record, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it contains: 20 is a change of the cipher, 21 an alert, 22 a handshake, 23 data.
    pub kind: u8,
    /// The number of bytes after the header.
    pub length: usize,
}

/// Exercise 1. Find the records in the bytes of a TLS stream.
///
/// The header of a record has 5 bytes: the kind, two bytes that do not matter here, and the length
/// with the most significant byte first. Return the records that are complete, and the number of
/// bytes that they have together. What follows is the beginning of another record, which must be
/// kept until the rest of it arrives.
pub fn records(bytes: &[u8]) -> (Vec<Record>, usize) {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. How many bytes go over the wire for `plain` bytes of data, with TLS 1.3?
///
/// A record has at most 16 KiB of content, a header, one byte that hides the real kind of the
/// record, and a check value. The chapter has the sizes of the header and of the check value.
/// Without data, nothing is sent.
pub fn on_the_wire(plain: usize) -> usize {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. What can everybody read?
///
/// Find the name of the server in the first record of a client, as somebody in the café's network
/// can. Return `None` if there is none, or if the record is cut off or is something else. The
/// record contains, in this order:
///
/// | bytes | content |
/// |--:|---|
/// | 5 | the header of the record; its kind is 22 |
/// | 1 | the kind of the handshake message: 1, a ClientHello |
/// | 3 | the length of the message |
/// | 2 + 32 | a version and a random number |
/// | 1 + n | the session id, after its length |
/// | 2 + n | the ciphers, after their length |
/// | 1 + n | the compression methods, after their length |
/// | 2 + n | the extensions, after their length |
///
/// An extension has a kind (2 bytes), a length (2 bytes) and its content. The kind 0 is the name of
/// the server. Its content is the length of a list (2 bytes), and then the list: the kind of the
/// name (1 byte: 0), its length (2 bytes), and the name itself.
pub fn server_name(record: &[u8]) -> Option<String> {
    todo!()
}

#[cfg(test)]
mod tests {
    answers!(ch14: records, on_the_wire, server_name);
    use super::Record;
    use lariat::tls::rustls::crypto::ring;
    use lariat::tls::rustls::server::Acceptor;
    use lariat::tls::rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, version};
    use rcgen::{CertificateParams, KeyPair};
    use std::io::Write;
    use std::sync::Arc;

    fn client_of(roots: RootCertStore, name: &str) -> ClientConnection {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), name.to_owned().try_into().expect("a name")).expect("a client")
    }

    /// Returns the first bytes of a client that asks for a server.
    fn hello(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        client_of(RootCertStore::empty(), name).write_tls(&mut bytes).expect("a ClientHello");
        bytes
    }

    /// Returns both sides of a session after the handshake, and all bytes that the server has sent.
    fn session() -> (ClientConnection, ServerConnection, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").self_signed(&key);
        let certificate = certificate.expect("a certificate").der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("an authority");
        let key = key.serialize_der().try_into().expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate");
        let (mut client, mut server) =
            (client_of(roots, "localhost"), ServerConnection::new(Arc::new(config)).expect("a server"));
        let mut sent = Vec::new();
        while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut up).expect("room");
            }
            while !up.is_empty() && server.read_tls(&mut up.as_slice()).map(|count| drop(up.drain(..count))).is_ok() {
                server.process_new_packets().expect("valid bytes");
            }
            while server.wants_write() {
                server.write_tls(&mut down).expect("room");
            }
            sent.extend_from_slice(&down);
            while !down.is_empty()
                && client.read_tls(&mut down.as_slice()).map(|count| drop(down.drain(..count))).is_ok()
            {
                client.process_new_packets().expect("valid bytes");
            }
        }
        (client, server, sent)
    }

    #[test]
    fn ex1_records_have_a_header() {
        assert_eq!(records(&[]), (vec![], 0));
        assert_eq!(records(&[21, 3, 3, 0, 2, 1, 0, 23, 3, 3]), (vec![Record { kind: 21, length: 2 }], 7));
        assert_eq!(records(&[23, 3, 3, 1, 0]), (vec![], 0));

        let first = hello("example.org");
        assert_eq!(records(&first), (vec![Record { kind: 22, length: first.len() - 5 }], first.len()));

        let (_, mut server, mut stream) = session();
        server.writer().write_all(&[0; 40_000]).expect("room");
        while server.wants_write() {
            server.write_tls(&mut stream).expect("room");
        }
        let (all, size) = records(&stream);
        assert_eq!(size, stream.len());
        assert_eq!(all.iter().map(|record| 5 + record.length).sum::<usize>(), stream.len());
        assert_eq!((all[0].kind, all[1].kind, all.last().map(|record| record.kind)), (22, 20, Some(23)));
        for cut in (0..stream.len()).step_by(3) {
            let (some, size) = records(&stream[..cut]);
            assert_eq!(some, all[..some.len()], "the first {cut} bytes");
            let next = all.get(some.len()).map_or(0, |record| 5 + record.length);
            assert_eq!(size, some.iter().map(|record| 5 + record.length).sum::<usize>());
            assert!(cut - size < next, "the first {cut} bytes have one more record");
        }
    }

    #[test]
    fn ex2_encryption_adds_a_little() {
        let (_, mut server, _) = session();
        server.set_buffer_limit(None);
        for plain in [0, 1, 7, 100, 16_383, 16_384, 16_385, 32_768, 50_000, 1 << 20] {
            server.writer().write_all(&vec![b'x'; plain]).expect("room");
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("room");
            }
            assert_eq!(on_the_wire(plain), wire.len(), "for {plain} bytes");
        }
    }

    #[test]
    fn ex3_the_name_of_the_server_is_not_secret() {
        for name in ["example.org", "localhost", "a.b.c.example", "chat.internal.example"] {
            let record = hello(name);
            let mut acceptor = Acceptor::default();
            acceptor.read_tls(&mut record.as_slice()).expect("bytes");
            let accepted = acceptor.accept().ok().flatten().expect("a ClientHello");
            assert_eq!(accepted.client_hello().server_name(), Some(name));

            assert_eq!(server_name(&record).as_deref(), Some(name));
            for cut in 0..record.len() {
                let found = server_name(&record[..cut]);
                assert!(found.is_none() || found.as_deref() == Some(name), "{found:?} in {cut} bytes");
            }
        }
        assert_eq!(server_name(&hello("127.0.0.1")), None, "an address is not a name");
        assert_eq!(server_name(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"), None);
        let mut data = hello("example.org");
        data[0] = 23;
        assert_eq!(server_name(&data), None);
    }
}
