;; It answers with the text after "reply": in its configuration, to the end of the object: {"reply":<response>}.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (import "tocsin_v1" "input_length" (func $length (result i32)))
  (import "tocsin_v1" "input_read" (func $read (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"config\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 175)) (i32.const 0))
  ;; The request begins with {"abi":"tocsin/1","kind":"collect","config":{"reply": and then comes the response.
  (func (export "tocsin_collect") (result i32) (local $n i32) (local $i i32) (local $depth i32) (local $quoted i32) (local $c i32)
    (local.set $n (call $read (i32.const 0) (call $length)))
    (local.set $i (i32.const 53))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $c (i32.load8_u (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (if (i32.and (local.get $quoted) (i32.eq (local.get $c) (i32.const 92)))
          (then (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
        (if (i32.eq (local.get $c) (i32.const 34)) (then (local.set $quoted (i32.eqz (local.get $quoted)))))
        (br_if $next (local.get $quoted))
        (if (i32.eq (local.get $c) (i32.const 123)) (then (local.set $depth (i32.add (local.get $depth) (i32.const 1)))))
        (if (i32.eq (local.get $c) (i32.const 125)) (then (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))))
        (br_if $next (local.get $depth))))
    (call $write (i32.const 53) (i32.sub (local.get $i) (i32.const 53)))
    (i32.const 0))
)
