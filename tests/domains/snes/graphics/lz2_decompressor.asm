; LC_LZ2 on the console, written from the format's description: stream at $7E4000, output at [$00] = $7F0000.
; A stream whose addresses lie low byte first has ORDER = 1.
    rep #$10
    sep #$20
    ldx #$0000
    ldy #$0000
next:
    lda $7E4000,x
    inx
    cmp #$FF
    bne chunk
    rtl
chunk:
    sta $10
    and #$E0
    cmp #$E0
    beq long
    sta $12
    lda $10
    and #$1F
    sta $14
    stz $15
    bra ready
long:
    lda $10
    asl a
    asl a
    asl a
    and #$E0
    sta $12
    lda $10
    and #$03
    sta $15
    lda $7E4000,x
    inx
    sta $14
ready:
    rep #$20
    inc $14
    sep #$20
    lda $12
    bmi copy
    beq plain
    cmp #$20
    beq fill
    cmp #$40
    beq pair
rise:
    lda $7E4000,x
    inx
rising:
    sta [$00],y
    iny
    inc a
    jsr count
    bne rising
    bra next
plain:
    lda $7E4000,x
    inx
    sta [$00],y
    iny
    jsr count
    bne plain
    brl next
fill:
    lda $7E4000,x
    inx
filling:
    sta [$00],y
    iny
    jsr count
    bne filling
    brl next
pair:
    lda $7E4000,x
    inx
    sta $18
    lda $7E4000,x
    inx
    sta $19
pairing:
    lda $18
    sta [$00],y
    iny
    jsr count
    beq paired
    lda $19
    sta [$00],y
    iny
    jsr count
    bne pairing
paired:
    brl next
copy:
    rep #$20
    lda $7E4000,x
    inx
    inx
if !order == 0
    xba
endif
    sta $16
    sep #$20
    phx
    ldx $16
copying:
    lda $7F0000,x
    inx
    sta [$00],y
    iny
    jsr count
    bne copying
    plx
    brl next
count:
    rep #$20
    dec $14
    sep #$20
    rts
