//! The protobuf wire format: numbered fields, one after the other.
//!
//! Knows: varints, fixed widths, lengths. Refuses to know: what a field means.

/// What is wrong with the bytes.
#[derive(Debug)]
pub(super) struct Wrong(pub &'static str);

pub(super) type Result<T> = std::result::Result<T, Wrong>;

/// The content of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    pub fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Payload::Bytes(bytes) => Ok(bytes),
            _ => Err(Wrong("a number where bytes were expected")),
        }
    }

    pub fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Wrong("text that is not UTF-8"))
    }

    /// A signed number; the wire holds its two's complement.
    pub fn number(self) -> Result<i64> {
        match self {
            Payload::Varint(number) | Payload::Fixed64(number) => Ok(number.cast_signed()),
            Payload::Fixed32(number) => Ok(i64::from(number.cast_signed())),
            Payload::Bytes(_) => Err(Wrong("bytes where a number was expected")),
        }
    }

    pub fn float(self) -> Result<f64> {
        match self {
            Payload::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Payload::Fixed32(bits) => Ok(f64::from(f32::from_bits(bits))),
            _ => Err(Wrong("something else where a fraction was expected")),
        }
    }
}

/// The fields of a message. After an error nothing more comes.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { left: bytes }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, left) = self.left.split_first().ok_or(Wrong("unexpected EOF"))?;
            self.left = left;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Wrong("integer overflow"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| Wrong("invalid length"))?;
        let (taken, left) = self.left.split_at_checked(length).ok_or(Wrong("unexpected EOF"))?;
        self.left = left;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, left) = self.left.split_first_chunk::<N>().ok_or(Wrong("unexpected EOF"))?;
        self.left = left;
        Ok(*taken)
    }

    fn field(&mut self) -> Result<(u32, Payload<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| *number > 0)
            .ok_or(Wrong("illegal tag"))?;
        let payload = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = self.varint()?;
                Payload::Bytes(self.take(length)?)
            }
            5 => Payload::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Wrong("illegal wire type")),
        };
        Ok((number, payload))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Payload<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.left = &[];
        }
        Some(field)
    }
}

/// The text in field 1 of a message that holds nothing else.
pub(super) fn single_text(bytes: &[u8]) -> Result<&str> {
    for field in Reader::new(bytes) {
        if let (1, payload) = field? {
            return payload.text();
        }
    }
    Ok("")
}
