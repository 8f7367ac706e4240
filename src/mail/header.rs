//! The header of a message as a list of fields, each kept byte for byte (RFC 5322 section 2.2).

/// One header field: name, colon, value with its folding, in canonical lines (CRLF, no bare CR, no NUL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    raw: Vec<u8>,
}

impl Field {
    /// Makes a field. Control bytes in the value become blanks; a long value is folded.
    pub fn new(_name: &str, _value: &str) -> Field {
        todo!()
    }
    /// The name as written.
    pub fn name(&self) -> &str {
        todo!()
    }
    /// The value unfolded, without line ends, not decoded.
    pub fn value(&self) -> Vec<u8> {
        todo!()
    }
    /// The value with encoded words (RFC 2047) decoded, for people.
    pub fn text(&self) -> String {
        todo!()
    }
    /// The bytes with their final CRLF.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
}

/// The fields of a message in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    fields: Vec<Field>,
}

impl Header {
    /// Reads back a header that [`Header::to_bytes`] wrote.
    pub fn from_bytes(_bytes: &[u8]) -> Header {
        todo!()
    }
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
    /// The first field of that name, in any case.
    pub fn first(&self, _name: &str) -> Option<&Field> {
        todo!()
    }
    pub fn all<'a>(&'a self, _name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter()
    }
    pub fn push(&mut self, field: Field) {
        self.fields.push(field);
    }
    pub fn remove(&mut self, _name: &str) {
        todo!()
    }
    /// Puts `field` in the place of the first field of its name, drops the others of that name; appends when there is none.
    pub fn replace(&mut self, _field: Field) {
        todo!()
    }
    /// The canonical bytes, *without* the empty line that ends the header.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
}
