//! The static library that github.com/daulet/tokenizers links: its eleven C
//! functions over the crate `tokenizers`, without tiktoken, which no E5 model
//! needs. Lengths are `u32` as the C header has them.
//!
//! No function lets a panic cross into C. Every buffer and string that is
//! handed out goes back through its `tokenizers_free_*` function.

use hf::{Tokenizer, TruncationDirection, TruncationParams};
use std::ffi::{c_char, c_void, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{null_mut, slice_from_raw_parts_mut};
use std::slice;

/// Its only purpose is the name: linking fails where the Go module expects
/// another version of this interface.
#[no_mangle]
pub extern "C" fn tokenizers_version_1_23_0() {}

#[repr(C)]
pub struct Options {
    encode_special_tokens: bool,
}

#[repr(C)]
pub struct EncodeOptions {
    add_special_tokens: bool,
    return_type_ids: bool,
    return_tokens: bool,
    return_special_tokens_mask: bool,
    return_attention_mask: bool,
    return_offsets: bool,
}

#[repr(C)]
pub struct Buffer {
    ids: *mut u32,
    type_ids: *mut u32,
    special_tokens_mask: *mut u32,
    attention_mask: *mut u32,
    tokens: *mut *mut c_char,
    offsets: *mut usize, // two an id: start, end
    len: u32,
}

const NO_BUFFER: Buffer = Buffer {
    ids: null_mut(),
    type_ids: null_mut(),
    special_tokens_mask: null_mut(),
    attention_mask: null_mut(),
    tokens: null_mut(),
    offsets: null_mut(),
    len: 0,
};

/// A C string of `text`, cut at its first NUL byte.
fn c_string(text: &str) -> *mut c_char {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).map_or(null_mut(), CString::into_raw)
}

/// Runs `make` and hands its tokenizer out, or its failure through `error`.
fn hand_out(error: *mut *mut c_char, make: impl FnOnce() -> Result<Tokenizer, String>) -> *mut c_void {
    let made = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err("the tokenizer panicked".into()));
    match made {
        Ok(t) => Box::into_raw(Box::new(t)).cast(),
        Err(why) => {
            if !error.is_null() {
                unsafe { *error = c_string(&why) };
            }
            null_mut()
        }
    }
}

fn parse(config: *const u8, len: u32) -> Result<Tokenizer, String> {
    if config.is_null() {
        return Err("no configuration given".into());
    }
    let bytes = unsafe { slice::from_raw_parts(config, len as usize) };
    Tokenizer::from_bytes(bytes).map_err(|e| e.to_string())
}

#[no_mangle]
pub extern "C" fn tokenizers_from_bytes(config: *const u8, len: u32, options: *const Options, error: *mut *mut c_char) -> *mut c_void {
    hand_out(error, || {
        let mut t = parse(config, len)?;
        if let Some(o) = unsafe { options.as_ref() } {
            t.set_encode_special_tokens(o.encode_special_tokens);
        }
        Ok(t)
    })
}

#[no_mangle]
pub extern "C" fn tokenizers_from_bytes_with_truncation(config: *const u8, len: u32, max_len: u32, direction: u8, error: *mut *mut c_char) -> *mut c_void {
    hand_out(error, || {
        let direction = match direction {
            0 => TruncationDirection::Left,
            1 => TruncationDirection::Right,
            d => return Err(format!("truncation direction {d} is neither 0 (left) nor 1 (right)")),
        };
        let mut t = parse(config, len)?;
        let cut = TruncationParams { max_length: max_len as usize, direction, ..Default::default() };
        t.with_truncation(Some(cut)).map_err(|e| e.to_string())?;
        Ok(t)
    })
}

#[no_mangle]
pub extern "C" fn tokenizers_from_file(path: *const c_char, error: *mut *mut c_char) -> *mut c_void {
    hand_out(error, || {
        if path.is_null() {
            return Err("no path given".into());
        }
        let path = unsafe { CStr::from_ptr(path) }.to_str().map_err(|e| e.to_string())?;
        Tokenizer::from_file(path).map_err(|e| e.to_string())
    })
}

#[no_mangle]
pub extern "C" fn tokenizers_from_tiktoken(_model: *const c_char, _config: *const c_char, _pattern: *const c_char, error: *mut *mut c_char) -> *mut c_void {
    hand_out(error, || Err("tiktoken files are not supported by this build".into()))
}

fn give<T>(v: Vec<T>) -> *mut T {
    Box::into_raw(v.into_boxed_slice()).cast()
}

#[no_mangle]
pub extern "C" fn tokenizers_encode(tokenizer: *mut c_void, message: *const c_char, options: *const EncodeOptions) -> Buffer {
    let (tokenizer, options) = unsafe { (tokenizer.cast::<Tokenizer>().as_ref(), options.as_ref()) };
    let (Some(tokenizer), Some(o), false) = (tokenizer, options, message.is_null()) else {
        return NO_BUFFER;
    };
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        if o.return_offsets {
            tokenizer.encode(text.as_ref(), o.add_special_tokens)
        } else {
            tokenizer.encode_fast(text.as_ref(), o.add_special_tokens)
        }
    }));
    let Ok(Ok(e)) = encoded else {
        return NO_BUFFER;
    };
    let part = |wanted: bool, ids: &[u32]| if wanted { give(ids.to_vec()) } else { null_mut() };
    Buffer {
        len: e.len() as u32,
        ids: give(e.get_ids().to_vec()),
        type_ids: part(o.return_type_ids, e.get_type_ids()),
        special_tokens_mask: part(o.return_special_tokens_mask, e.get_special_tokens_mask()),
        attention_mask: part(o.return_attention_mask, e.get_attention_mask()),
        tokens: match o.return_tokens {
            true => give(e.get_tokens().iter().map(|t| c_string(t)).collect()),
            false => null_mut(),
        },
        offsets: match o.return_offsets {
            true => give(e.get_offsets().iter().flat_map(|&(start, end)| [start, end]).collect()),
            false => null_mut(),
        },
    }
}

#[no_mangle]
pub extern "C" fn tokenizers_decode(tokenizer: *mut c_void, ids: *const u32, len: u32, skip_special_tokens: bool) -> *mut c_char {
    let (Some(t), false) = (unsafe { tokenizer.cast::<Tokenizer>().as_ref() }, ids.is_null()) else {
        return null_mut();
    };
    let ids = unsafe { slice::from_raw_parts(ids, len as usize) };
    match catch_unwind(AssertUnwindSafe(|| t.decode(ids, skip_special_tokens))) {
        Ok(Ok(text)) => c_string(&text),
        _ => null_mut(),
    }
}

#[no_mangle]
pub extern "C" fn tokenizers_vocab_size(tokenizer: *mut c_void) -> u32 {
    unsafe { tokenizer.cast::<Tokenizer>().as_ref() }.map_or(0, |t| t.get_vocab_size(true) as u32)
}

#[no_mangle]
pub extern "C" fn tokenizers_free_tokenizer(tokenizer: *mut c_void) {
    if !tokenizer.is_null() {
        drop(unsafe { Box::from_raw(tokenizer.cast::<Tokenizer>()) });
    }
}

/// Takes back what `give` handed out.
fn take<T>(p: *mut T, len: usize) {
    if !p.is_null() {
        drop(unsafe { Box::from_raw(slice_from_raw_parts_mut(p, len)) });
    }
}

#[no_mangle]
pub extern "C" fn tokenizers_free_buffer(b: Buffer) {
    let len = b.len as usize;
    if !b.tokens.is_null() {
        for &token in unsafe { slice::from_raw_parts(b.tokens, len) } {
            tokenizers_free_string(token);
        }
    }
    take(b.tokens, len);
    take(b.ids, len);
    take(b.type_ids, len);
    take(b.special_tokens_mask, len);
    take(b.attention_mask, len);
    take(b.offsets, 2 * len);
}

#[no_mangle]
pub extern "C" fn tokenizers_free_string(s: *mut c_char) {
    if !s.is_null() {
        drop(unsafe { CString::from_raw(s) });
    }
}
