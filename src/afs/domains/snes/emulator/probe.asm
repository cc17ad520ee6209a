; A cartridge that writes 00, 01, 02 … into all palette entries and sprite entries, so that their place in a save state
; can be found by looking for it. Bytes of CGRAM are kept below $80 because its top bit does not exist.
lorom
org $008000
start:
    sei
    clc
    xce
    sep #$30
    lda #$80
    sta $2100
    stz $2121
    stz $2102
    stz $2103
    ldx #$00
.colors
    txa
    eor #$5A
    and #$7F
    sta $2122
    txa
    lsr a
    sta $2122
    inx
    bne .colors
    ldx #$00
.sprites
    txa
    eor #$A5
    sta $2104
    txa
    sta $2104
    inx
    bne .sprites
.tail
    txa
    eor #$3C
    sta $2104
    inx
    cpx #$20
    bne .tail
.wait
    bra .wait

org $00FFC0
    db "AFS PROBE            "
    db $20,$00,$05,$00,$00,$00,$00
    dw $FFFF,$0000
org $00FFFC
    dw start
