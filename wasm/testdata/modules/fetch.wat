;; It sends its configuration as a http request and answers with the response in detail.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (import "tocsin_v1" "input_read" (func $read (param i32 i32) (result i32)))
  (import "tocsin_v1" "http" (func $http (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"fetch\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 174)) (i32.const 0))
  (data (i32.const 512) "{\"outcome\":\"pass\",\"detail\":")
  (data (i32.const 600) "}")
  (func (export "tocsin_collect") (result i32) (local $n i32) (local $i i32)
    ;; the configuration is between byte 44 and ,"check":
    (local.set $n (call $read (i32.const 1024) (i32.const 60000)))
    (local.set $i (i32.const 1068))
    (loop $next
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i64.ne (i64.load (local.get $i)) (i64.const 0x226b63656863222c)))) ;; ,"check"
    (local.set $n (call $http (i32.const 1068) (i32.sub (local.get $i) (i32.const 1068))))
    (call $write (i32.const 512) (i32.const 27))
    (call $write (i32.const 1024) (call $read (i32.const 1024) (i32.const 64000)))
    (call $write (i32.const 600) (i32.const 1))
    (i32.const 0))
)
