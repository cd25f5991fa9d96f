//! Values of parameters made up by an expression: `[a-zA-Z0-9]{8}`.
//!
//! Knows: the expressions and what each stands for. Refuses to know: where chance comes from.

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const SYMBOLS: &str = "~!@#$%^&*()-_+={}[]\\|<,>.?/\"';:`";

/// Characters that are made up for one template at most.
pub(super) const MOST: usize = 1 << 20;

/// The text with every expression in it replaced by characters of its ranges. `random` gives a number below the one it
/// is given; `room` is how many may still be made.
pub(super) fn generate(
    from: &str,
    room: &mut usize,
    random: &mut dyn FnMut(usize) -> usize,
) -> Result<String, String> {
    let (mut made, mut rest) = (String::new(), from);
    while let Some((start, close, end)) = find(rest) {
        made.push_str(&rest[..start]);
        let (class, count) = (&rest[start..=close], &rest[close + 2..end - 1]);
        let (alphabet, length) = (alphabet(class)?, length(count)?);
        *room = room.checked_sub(length).ok_or_else(|| {
            format!("generated values must have at most {MOST} characters in all")
        })?;
        for _ in 0..length {
            made.push(alphabet[random(alphabet.len()) % alphabet.len()]);
        }
        rest = &rest[end..];
    }
    made.push_str(rest);
    Ok(made)
}

/// The first expression: where it starts, where its class ends, and the place after it.
fn find(text: &str) -> Option<(usize, usize, usize)> {
    let bytes = text.as_bytes();
    let run = |from: usize, of: fn(u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| of(**byte)).count()
    };
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'[').map(|(at, _)| at);
    for start in starts {
        let close =
            run(start + 1, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'\\'));
        if close == start + 1 || !bytes[close..].starts_with(b"]{") {
            continue;
        }
        let end = run(close + 2, |byte| byte.is_ascii_digit());
        if end > close + 2 && bytes.get(end) == Some(&b'}') {
            return Some((start, close, end + 1));
        }
    }
    None
}

fn length(count: &str) -> Result<usize, String> {
    let number: i64 = count.parse().unwrap_or(i64::MAX);
    match usize::try_from(number) {
        Ok(length @ 1..=255) => Ok(length),
        _ => Err(format!("range must be within [1-255] characters ({number})")),
    }
}

/// The characters that a class stands for, each once.
fn alphabet(class: &str) -> Result<Vec<char>, String> {
    let named = ["[\\w", "[\\d", "[\\a", "[\\A"].iter().any(|start| class.starts_with(start));
    let [.., low, dash, high, _] = class.as_bytes() else {
        return Err(malformed(class));
    };
    let alnum = |byte: &u8| byte.is_ascii_alphanumeric();
    let ranged = alnum(low) && *dash == b'-' && alnum(high);
    if !named && !ranged {
        return Err(malformed(class));
    }
    let mut found = Vec::new();
    for (low, high) in ranges(class.as_bytes()) {
        for character in characters(low, high)? {
            if !found.contains(&character) {
                found.push(character);
            }
        }
    }
    if found.is_empty() { Err(malformed(class)) } else { Ok(found) }
}

fn malformed(class: &str) -> String {
    format!("malformed expresion syntax: {class}")
}

/// The first and last characters of each range: of `a-z`, of `\w`, and of what stands side by side.
fn ranges(class: &[u8]) -> Vec<(char, char)> {
    let alnum = |at: usize| class.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < class.len() {
        let first = at + usize::from(class[at] == b'\\');
        if !alnum(first) {
            at += 1;
            continue;
        }
        let mut end = first + 1;
        end += usize::from(class.get(end) == Some(&b'-'));
        end += usize::from(alnum(end));
        found.push((char::from(class[at]), char::from(class[end - 1])));
        at = end;
    }
    found
}

/// Both ends belong to a range.
fn characters(low: char, high: char) -> Result<Vec<char>, String> {
    let named = match (low, high) {
        ('\\', 'w') => [LETTERS, DIGITS, "_"].concat(),
        ('\\', 'd') => DIGITS.to_owned(),
        ('\\', 'a') => [LETTERS, DIGITS].concat(),
        ('\\', 'A') => SYMBOLS.to_owned(),
        _ => {
            let all = [LETTERS, DIGITS, SYMBOLS].concat();
            return match (all.find(low), all.rfind(high)) {
                (Some(from), Some(to)) if from <= to => Ok(all[from..=to].chars().collect()),
                _ => Err(format!("invalid range specified: {low}-{high}")),
            };
        }
    };
    Ok(named.chars().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the characters of an alphabet in turn.
    fn made(from: &str) -> Result<String, String> {
        let mut next = 0;
        generate(from, &mut 4096, &mut |_| {
            next += 1;
            next - 1
        })
    }

    #[test]
    fn expressions_are_replaced() {
        for (from, want) in [
            ("", ""),
            ("plain", "plain"),
            ("test[0-9]{1}x", "test0x"),
            ("[0-1]{4}", "0101"),
            ("[a-c]{3}-[X-Z]{3}", "abc-XYZ"),
            ("[\\d]{3}", "012"),
            ("[\\w]{2}[a-z]", "ab[a-z]"),
            ("[a-z]{}", "[a-z]{}"),
            ("ä[a-b]{2}ö", "äabö"),
        ] {
            assert_eq!(made(from).as_deref(), Ok(want), "{from}");
        }
        assert_eq!(made("[a-zA-Z0-9]{255}").map(|text| text.len()), Ok(255));
    }

    // Red when what is made up has no bound: two requests kept a server busy for a minute.
    #[test]
    fn what_is_made_up_is_bounded_in_all() {
        let why = format!("generated values must have at most {MOST} characters in all");
        assert_eq!(made(&"[a-z]{255}".repeat(17)), Err(why));
        assert_eq!(made(&"[a-z]{255}".repeat(16)).map(|text| text.len()), Ok(16 * 255));
    }

    #[test]
    fn what_is_no_expression_is_told() {
        for (from, why) in [
            ("[abc]{3}", "malformed expresion syntax: [abc]"),
            ("[-]{1}", "malformed expresion syntax: [-]"),
            ("[z-a]{3}", "invalid range specified: z-a"),
            ("[a-z]{0}", "range must be within [1-255] characters (0)"),
            ("[a-z]{256}", "range must be within [1-255] characters (256)"),
            (
                "[a-z]{99999999999999999999}",
                "range must be within [1-255] characters (9223372036854775807)",
            ),
        ] {
            assert_eq!(made(from), Err(why.to_owned()), "{from}");
        }
    }
}
