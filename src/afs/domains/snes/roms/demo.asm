; A cartridge of our own to patch: one background layer, one sprite, a pad, two hooks.
;
; Low RAM   $20 pad of this frame (word), $22 frame counter (byte), $24 player x, $25 player y, $26 score (word)
; Hooks     $008200 init_hook, once, in forced blank; $008400 frame_hook, every frame in vertical blank
;           both are called with JSR, A and X/Y 8-bit, direct page $0000, data bank $00
; Data      $008600 palette (16 words), $008700 first values of $24-$27, $008710 brightness
; Free      $009000-$00FF00
; VRAM      tiles at word $0000 (tile 1 solid, tile 2 striped), BG1 map at word $0400, sprites' tiles at word $2000

lorom
org $008000
reset:
    sei
    clc
    xce
    rep #$38
    lda #$01FF
    tcs
    lda #$0000
    tcd
    sep #$30
    pha
    plb
    lda #$80
    sta $2100
    stz $4200
    stz $420B
    stz $420C
    jsr clear_ram
    jsr clear_video
    jsr load_palette
    jsr load_tiles
    lda $8700
    sta $24
    lda $8701
    sta $25
    lda $8702
    sta $26
    lda $8703
    sta $27
    stz $2105
    lda #$04
    sta $2107
    stz $210B
    lda #$01
    sta $2101
    lda #$11
    sta $212C
    stz $2115
    rep #$10
    ldx #$0D00
middle:                 ; so that the hook begins in the middle of a frame, however long it takes
    dex
    bne middle
    sep #$10
    jsr init_hook
drawing:
    lda $4212
    bmi drawing
blanking:
    lda $4212
    bpl blanking
    lda #$01
    sta $4200
    lda $4210
    lda #$81
    sta $4200
    lda $8710
    sta $2100
wait:
    bra wait

clear_ram:
    rep #$30
    ldx #$01EE
ram_loop:
    stz $00,x
    dex
    dex
    bpl ram_loop
    sep #$30
    rts

clear_video:
    lda #$80
    sta $2115
    rep #$30
    stz $2116
    ldx #$8000
video_loop:
    stz $2118
    dex
    bne video_loop
    sep #$30
    stz $2102
    stz $2103
    ldx #$00
oam_loop:
    lda #$F0
    sta $2104
    sta $2104
    inx
    bne oam_loop
    ldx #$20
oam_high:
    stz $2104
    dex
    bne oam_high
    ldx #$0D
scroll_loop:
    stz $210D
    stz $210D
    stz $210E
    stz $210E
    dex
    bne scroll_loop
    stz $2106
    stz $2123
    stz $2124
    stz $2125
    stz $212D
    stz $212E
    stz $212F
    lda #$30
    sta $2130
    stz $2131
    lda #$E0
    sta $2132
    stz $2133
    rts

load_palette:
    stz $2121
    ldx #$00
clear_colors:
    stz $2122
    stz $2122
    inx
    bne clear_colors
    stz $2121
    ldx #$00
palette_loop:
    lda $8600,x
    sta $2122
    inx
    cpx #$20
    bne palette_loop
    lda #$81
    sta $2121
    lda #$FF
    sta $2122
    lda #$03
    sta $2122
    rts

load_tiles:
    rep #$30
    lda #$0008
    sta $2116
    ldx #$0008
solid_loop:
    lda #$00FF
    sta $2118
    dex
    bne solid_loop
    ldx #$0008
stripe_loop:
    lda #$AA55
    sta $2118
    dex
    bne stripe_loop
    lda #$2000
    sta $2116
    ldx #$0008
sprite_loop:
    lda #$00FF
    sta $2118
    dex
    bne sprite_loop
    sep #$30
    rts

warnpc $008200
org $008200
init_hook:
    rts

org $008300
nmi:
    rep #$30
    pha
    phx
    phy
    sep #$30
    lda $4210
busy:
    lda $4212
    and #$01
    bne busy
    lda $4218
    sta $20
    lda $4219
    sta $21
    inc $22
    jsr frame_hook
    stz $2102
    stz $2103
    lda $24
    sta $2104
    lda $25
    sta $2104
    stz $2104
    lda #$30
    sta $2104
    rep #$30
    ply
    plx
    pla
    rti

warnpc $008400
org $008400
frame_hook:
    rts

org $008600
    dw $2000,$7FFF,$03E0,$001F,$0000,$0000,$0000,$0000
    dw $0000,$0000,$0000,$0000,$0000,$0000,$0000,$0000
org $008700
    db $70,$60,$00,$00
org $008710
    db $0F

org $00FFC0
    db "AFS DEMO             "
    db $20,$00,$05,$00,$00,$00,$00
    dw $FFFF,$0000
org $00FFEA
    dw nmi
org $00FFFC
    dw reset
