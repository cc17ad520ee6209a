const $=id=>document.getElementById(id);let timer;
function show(mode){clearInterval(timer);for(const b of document.querySelectorAll("button"))b.setAttribute("aria-pressed",b.value===mode);
$("difference").classList.toggle("hidden",mode!=="difference");$("over").classList.toggle("hidden",mode==="difference");
$("line").classList.toggle("hidden",mode!=="slider");$("slide").classList.toggle("hidden",mode!=="slider");
if(mode==="slider")cut();else $("over").style.width="100%";
if(mode==="blink"){let on=true;timer=setInterval(()=>{on=!on;$("over").style.visibility=on?"visible":"hidden"},500)}else $("over").style.visibility="visible"}
function cut(){const v=$("slide").value+"%";$("over").style.width=v;$("line").style.left=v}
for(const b of document.querySelectorAll("button"))b.onclick=()=>show(b.value);$("slide").oninput=cut;show("slider");
