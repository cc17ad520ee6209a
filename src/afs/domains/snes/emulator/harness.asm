; Runs a routine from a table of start states on the real machine and keeps what each run left.
;
; Bank $00/$80  $8000 the routine; $E000 this driver
; Bank $01      $8000 counts, $8010 addresses of input bytes, $8810 addresses of output bytes, $9000 start states
; Bank $7F      $0000 results; $FFFF becomes 1 when all is done
; Low RAM       $1F00-$1FFF variables, stack below $0200
;
; A start state is  A X Y D (words)  DB P (bytes)  input bytes.
; A result is       A X Y D S (words)  DB P (bytes)  H V before, H V after (words)  output bytes.

lorom
!a = $00
!x = $02
!y = $04
!d = $06
!db = $08
!p = $09
!s = $0A
!h1 = $10
!v1 = $12
!h2 = $14
!v2 = $16
!state = $20
!result = $22
!left = $24
!pointer = $28
!list = $2C
!count = $2E

!inputs = $018000
!outputs = $018002
!states = $018004

org $00E000
start:
    sei
    clc
    xce
    rep #$38
    lda #$01FF
    tcs
    lda #$1F00
    tcd
    sep #$20
    lda #$00
    pha
    plb
    lda #$80
    sta $2100
    sta $4201
    stz $4200
    rep #$20
    lda #$9000
    sta !state
    stz !result
    lda.l !states
    sta !left

next:
    ; the start state's registers
    ldx !state
    lda.l $010000,x
    sta !a
    lda.l $010002,x
    sta !x
    lda.l $010004,x
    sta !y
    lda.l $010006,x
    sta !d
    lda.l $010008,x
    sta !db
    ; its memory
    txa
    clc
    adc #$000A
    tax
    ldy #$0000
    lda.l !inputs
    sta !count
    beq placed
place:
    phx
    tyx
    lda.l $018010,x
    sta !pointer
    lda.l $018012,x
    sta !pointer+2
    plx
    sep #$20
    lda.l $010000,x
    sta [!pointer]
    rep #$20
    inx
    iny
    iny
    iny
    iny
    dec !count
    bne place
placed:
    stx !state
    ; the clock before
    sep #$20
    lda.l $00213F
    lda.l $002137
    lda $213C
    sta !h1
    lda $213C
    and #$01
    sta !h1+1
    lda $213D
    sta !v1
    lda $213D
    and #$01
    sta !v1+1
    ; the call
    lda !p
    pha
    lda !db
    pha
    rep #$30
    lda !d
    pha
    ldx !x
    ldy !y
    lda !a
    pld
    plb
    plp
    jsl enter
    ; what is left
    php
    rep #$38
    pha
    phx
    phy
    phd
    phb
    sep #$20
    lda.l $00213F
    lda.l $002137
    lda #$00
    pha
    plb
    rep #$30
    lda #$1F00
    tcd
    sep #$20
    lda $213C
    sta !h2
    lda $213C
    and #$01
    sta !h2+1
    lda $213D
    sta !v2
    lda $213D
    and #$01
    sta !v2+1
    pla
    sta !db
    rep #$20
    pla
    sta !d
    pla
    sta !y
    pla
    sta !x
    pla
    sta !a
    sep #$20
    pla
    sta !p
    rep #$20
    tsc
    sta !s
    lda #$01FF
    tcs
    ; the result
    ldx !result
    lda !a
    sta.l $7F0000,x
    lda !x
    sta.l $7F0002,x
    lda !y
    sta.l $7F0004,x
    lda !d
    sta.l $7F0006,x
    lda !s
    sta.l $7F0008,x
    lda !db
    sta.l $7F000A,x
    lda !h1
    sta.l $7F000C,x
    lda !v1
    sta.l $7F000E,x
    lda !h2
    sta.l $7F0010,x
    lda !v2
    sta.l $7F0012,x
    txa
    clc
    adc #$0014
    tax
    ldy #$0000
    lda.l !outputs
    sta !count
    beq kept
keep:
    phx
    tyx
    lda.l $018810,x
    sta !pointer
    lda.l $018812,x
    sta !pointer+2
    plx
    sep #$20
    lda [!pointer]
    sta.l $7F0000,x
    rep #$20
    inx
    iny
    iny
    iny
    iny
    dec !count
    bne keep
kept:
    stx !result
    dec !left
    beq finished
    jmp next
finished:
    sep #$20
    lda #$01
    sta.l $7FFFFF
.wait
    bra .wait

org $80F800
enter:
    jsr $8000
    rtl

org $00FFC0
    db "AFS HARNESS          "
    db $20,$00,$07,$00,$00,$00,$00
    dw $FFFF,$0000
org $00FFFC
    dw start
