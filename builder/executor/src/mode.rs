//! What `--chmod` makes of a mode.
//!
//! Knows: octal numbers and `chmod`'s letters. Refuses to know: files.

/// A change of a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is this one.
    Is(u32),
    /// Each is done to what there is: whose bits, what with them, which.
    Clauses(Vec<(u32, char, String)>),
}

impl Change {
    /// Reads `0755`, or `u=rwX,go=rX`.
    pub(crate) fn read(text: &str) -> Result<Change, String> {
        let wrong = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            )
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| wrong())?;
            return if mode <= 0o7777 { Ok(Change::Is(mode)) } else { Err(wrong()) };
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            let at = clause.find(['=', '+', '-']).ok_or_else(wrong)?;
            let (whose, rest) = clause.split_at(at);
            let mut bits = 0;
            for who in whose.chars() {
                bits |= match who {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    'o' => 0o1007,
                    'a' => 0o7777,
                    _ => return Err(wrong()),
                };
            }
            let op = rest.chars().next().ok_or_else(wrong)?;
            let what = &rest[1..];
            if !what.chars().all(|c| "rwxXst".contains(c)) {
                return Err(wrong());
            }
            clauses.push((if bits == 0 { 0o7777 } else { bits }, op, what.to_owned()));
        }
        Ok(Change::Clauses(clauses))
    }

    /// The mode that becomes of one.
    pub(crate) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Change::Is(mode) => *mode,
            Change::Clauses(clauses) => clauses.iter().fold(mode, |mode, (whose, op, what)| {
                let bit = |c: char| match c {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    'X' if directory || mode & 0o111 != 0 => 0o111,
                    's' => 0o6000,
                    't' => 0o1000,
                    _ => 0,
                };
                let bits = what.chars().fold(0, |bits, c| bits | bit(c)) & whose;
                match op {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => (mode & !(whose & 0o777)) | bits,
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (change, mode, directory, expected) in [
            ("0755", 0o600, false, 0o755),
            ("4711", 0o600, false, 0o4711),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x,o-r", 0o644, false, 0o751),
            ("go-rwx", 0o755, false, 0o700),
            ("u+s", 0o755, false, 0o4755),
        ] {
            assert_eq!(Change::read(change).unwrap().apply(mode, directory), expected, "{change}");
        }
        for bad in ["8", "77777", "u", "q+x", "u+q", ""] {
            let read = Change::read(bad);
            assert!(read.is_err() || bad.is_empty(), "{bad}");
        }
    }
}
