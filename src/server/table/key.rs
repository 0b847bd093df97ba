// A map names this file; an inner doc comment would keep the examples below from including it.

/// Permits reading from a socket, writing to it, and freeing a client's place.
///
/// [`Table::new`](super::Table::new) makes the only one, and the engine owns it. `Clients` has
/// none, so none of its methods can write or free: handlers only queue (invariant 3).
///
/// With the key:
///
/// ```
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs"));
/// #     pub fn new() -> (LoopKey, Locked<Vec<u8>>) { (LoopKey::new(), Locked::new(Vec::new())) } }
/// let (key, mut socket) = table::new();
/// socket.open(&key).push(1);
/// ```
///
/// Without it, there is no way to what is locked:
///
/// ```compile_fail,E0061
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs"));
/// #     pub fn new() -> (LoopKey, Locked<Vec<u8>>) { (LoopKey::new(), Locked::new(Vec::new())) } }
/// let (_, mut socket) = table::new();
/// socket.open().push(1);
/// ```
///
/// ```compile_fail,E0616
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs"));
/// #     pub fn new() -> (LoopKey, Locked<Vec<u8>>) { (LoopKey::new(), Locked::new(Vec::new())) } }
/// let (_, mut socket) = table::new();
/// socket.0.push(1);
/// ```
///
/// And nobody else can make a key, or a second one:
///
/// ```compile_fail,E0423
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs")); }
/// let key = table::LoopKey(());
/// ```
///
/// ```compile_fail,E0624
/// # mod outer { pub mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs")); } }
/// let key = outer::table::LoopKey::new();
/// ```
///
/// ```compile_fail,E0599
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs"));
/// #     pub fn new() -> (LoopKey, Locked<Vec<u8>>) { (LoopKey::new(), Locked::new(Vec::new())) } }
/// let (key, _) = table::new();
/// let second = key.clone();
/// ```
pub(crate) struct LoopKey(());

impl LoopKey {
    pub(super) const fn new() -> LoopKey {
        LoopKey(())
    }
}

/// Something that only the holder of the [`LoopKey`] can use.
#[derive(Debug)]
pub(crate) struct Locked<T>(T);

impl<T> Locked<T> {
    pub(super) const fn new(inner: T) -> Locked<T> {
        Locked(inner)
    }

    /// What is locked, to be looked at by the table alone.
    pub(super) const fn peek(&self) -> &T {
        &self.0
    }

    /// What is locked.
    #[inline(always)]
    pub(crate) const fn open(&mut self, _: &LoopKey) -> &mut T {
        &mut self.0
    }
}
