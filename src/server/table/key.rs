// No doc comment for the file: the examples below include it, and `include!` does not allow one.

/// The permission to read from sockets, to write to them and to remove clients.
///
/// [`Table::new`](super::Table::new) makes the only key of a table, and the engine owns it.
/// [`Clients`](crate::Clients) has none, so handlers can only queue (invariant 3).
///
/// With the key, one can open what is locked:
///
/// ```
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs"));
/// #     pub fn new() -> (LoopKey, Locked<Vec<u8>>) { (LoopKey::new(), Locked::new(Vec::new())) } }
/// let (key, mut socket) = table::new();
/// socket.open(&key).push(1);
/// ```
///
/// Without the key, one cannot:
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
/// Keys cannot be made elsewhere or copied:
///
/// ```compile_fail,E0423
/// # mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/table/key.rs")); }
/// let key = table::LoopKey(());
/// ```
///
/// ```compile_fail,E0624
/// # mod outer { pub mod table { include!(concat!(env!("CARGO_MANIFEST_DIR"),
/// "/src/server/table/key.rs")); } }
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

/// A value that only the owner of the [`LoopKey`] can use.
#[derive(Debug)]
pub(crate) struct Locked<T>(T);

impl<T> Locked<T> {
    pub(super) const fn new(inner: T) -> Locked<T> {
        Locked(inner)
    }

    /// Returns a shared reference, for the table only.
    pub(super) const fn peek(&self) -> &T {
        &self.0
    }

    /// Returns the value, for the owner of the key.
    #[inline(always)]
    pub(crate) const fn open(&mut self, _: &LoopKey) -> &mut T {
        &mut self.0
    }
}
