//! Whether a colour is readable on the background of the pages (WCAG 2.2, criterion 1.4.3).

use crate::model::{Accent, Color};

/// The background of the pages, light and dark, as in the stylesheet.
pub const LIGHT_PAPER: Color = Color { channels: [0xfb, 0xfa, 0xf8] };
/// See [`LIGHT_PAPER`].
pub const DARK_PAPER: Color = Color { channels: [0x14, 0x17, 0x1a] };

/// The lowest contrast ratio that a link or button may have.
pub const LEAST_CONTRAST: f64 = 4.5;

/// The contrast ratio of two colours, from 1 to 21 (WCAG 2.2, *contrast ratio*).
pub fn contrast(one: Color, other: Color) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The relative luminance, from 0 to 1 (WCAG 2.2, *relative luminance*).
fn luminance(color: Color) -> f64 {
    let linear = |channel: u8| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = color.channels.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// The nearest colour that can be read on `paper` on the way from this one to black, or on dark paper to white: it is
/// darkened or lightened by the least that is enough. One that can be read stays as it is.
fn nearest_readable(color: Color, paper: Color) -> Color {
    let end = if luminance(paper) > 0.5 { 0 } else { 255 };
    let mixed = |part: u8| Color { channels: color.channels.map(|channel| mix(channel, end, part)) };
    let readable = (0..=u8::MAX).map(mixed).find(|mixed| contrast(*mixed, paper) >= LEAST_CONTRAST);
    readable.unwrap_or_else(|| mixed(u8::MAX))
}

/// The value that lies `part` 255ths of the way from one value to another.
fn mix(from: u8, to: u8, part: u8) -> u8 {
    let (from, to, part) = (u32::from(from), u32::from(to), u32::from(part));
    let mixed = (from * (255 - part) + to * part + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

/// The colour is not readable; what would be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unreadable {
    /// Its contrast with the paper.
    pub contrast: f64,
    /// The nearest readable colour.
    pub nearest: Color,
}

/// Checks whether a colour is readable on the background `paper`.
pub fn check(color: Color, paper: Color) -> Result<(), Unreadable> {
    let contrast = contrast(color, paper);
    if contrast >= LEAST_CONTRAST {
        return Ok(());
    }
    Err(Unreadable { contrast, nearest: nearest_readable(color, paper) })
}

/// The colours of an organization that sets one for the light background, and perhaps another one for the dark.
pub fn accent(light: Color, dark: Option<Color>) -> Accent {
    Accent { light, dark: dark.unwrap_or_else(|| nearest_readable(light, DARK_PAPER)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn color(text: &str) -> Color {
        text.parse().unwrap()
    }

    #[test]
    fn contrast_is_measured_as_wcag_does() {
        for (one, other, expected) in [
            ("#000000", "#ffffff", 21.0),
            ("#ffffff", "#ffffff", 1.0),
            ("#777777", "#ffffff", 4.48),
            ("#767676", "#ffffff", 4.54),
            ("#0b5d5b", "#fbfaf8", 7.37),
            ("#6fd0c7", "#14171a", 9.87),
        ] {
            let measured = contrast(color(one), color(other));
            assert!((measured - expected).abs() < 0.01, "{one} on {other}: {measured}");
        }
    }

    #[test]
    fn a_colour_that_cannot_be_read_is_told_with_the_nearest_that_can() {
        assert_eq!(check(color("#0b5d5b"), LIGHT_PAPER), Ok(()));
        let yellow = check(color("#ffdd00"), LIGHT_PAPER).unwrap_err();
        assert!(yellow.contrast < 1.4, "{yellow:?}");
        assert_eq!(yellow.nearest.to_string(), "#857300");
        let navy = check(color("#001f5b"), DARK_PAPER).unwrap_err();
        assert_eq!(navy.nearest.to_string(), "#6e80a2");
    }

    #[test]
    fn the_papers_are_those_of_the_stylesheet() {
        let style = include_str!("../web/assets/countersign.css");
        let papers: Vec<&str> =
            style.lines().filter_map(|line| line.trim().strip_prefix("--paper: ")).collect();
        assert_eq!(papers, [format!("{LIGHT_PAPER};"), format!("{DARK_PAPER};")]);
    }

    proptest! {
        #[test]
        fn what_is_proposed_can_be_read_and_nothing_nearer(channels: [u8; 3], dark: bool) {
            let (color, paper) = (Color { channels }, if dark { DARK_PAPER } else { LIGHT_PAPER });
            let nearest = nearest_readable(color, paper);
            prop_assert!(contrast(nearest, paper) >= LEAST_CONTRAST);
            prop_assert_eq!(nearest == color, check(color, paper).is_ok());
            // One step less is not readable.
            let end = if dark { 255 } else { 0 };
            let part = (0..=u8::MAX).find(|part| nearest.channels == channels.map(|it| mix(it, end, *part))).unwrap();
            if let Some(less) = part.checked_sub(1) {
                let less = Color { channels: channels.map(|channel| mix(channel, end, less)) };
                prop_assert!(contrast(less, paper) < LEAST_CONTRAST);
            }
        }
    }
}
