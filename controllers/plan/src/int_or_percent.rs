//! Numbers of pods that may also be stated as a part of them. Knows the form of both; refuses to know what they limit.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A number, or a share of `all` rounded up or down; what is neither, or absent, is none.
pub fn amount(value: Option<&IntOrString>, all: i32, up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|text| text.parse::<i32>().ok());
            let hundredfold = i64::from(percent.unwrap_or(0)) * i64::from(all);
            let share = if up { (hundredfold + 99).div_euclid(100) } else { hundredfold / 100 };
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}
